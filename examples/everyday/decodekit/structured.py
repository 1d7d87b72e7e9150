from pydantic import BaseModel

import decodekit


class Person(BaseModel):
    name: str
    age: int


with decodekit.open("smollm2.gguf") as session:
    print(session.generate("Ada Lovelace is 36 years old. Her name and age as JSON:", schema=Person).parsed)
