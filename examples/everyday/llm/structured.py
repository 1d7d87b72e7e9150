import llm
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


model = llm.get_model("smollm2-chat")
answer = model.prompt("Ada Lovelace is 36 years old. Extract name and age.", schema=Person)
print(Person.model_validate_json(answer.text()))
