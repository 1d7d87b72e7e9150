from litellm import completion
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


messages = [{"role": "user", "content": "Ada Lovelace is 36 years old. Extract name and age."}]
answer = completion("hosted_vllm/smollm2", messages, api_base="http://127.0.0.1:8000/v1", response_format=Person)
print(Person.model_validate_json(answer.choices[0].message.content))
