import outlines
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, AutoTokenizer


class Person(BaseModel):
    name: str
    age: int


loaded = AutoModelForCausalLM.from_pretrained("smollm2")
model = outlines.from_transformers(loaded, AutoTokenizer.from_pretrained("smollm2"))
answer = model("Ada Lovelace is 36 years old. Her name and age as JSON:", Person, max_new_tokens=64)
print(Person.model_validate_json(answer))
