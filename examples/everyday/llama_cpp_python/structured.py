from llama_cpp import Llama
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


llm = Llama("smollm2.gguf")
messages = [{"role": "user", "content": "Ada Lovelace is 36 years old. Extract name and age."}]
schema = {"type": "json_object", "schema": Person.model_json_schema()}
answer = llm.create_chat_completion(messages, response_format=schema)
print(Person.model_validate_json(answer["choices"][0]["message"]["content"]))
