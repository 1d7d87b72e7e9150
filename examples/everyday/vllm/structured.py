from pydantic import BaseModel
from vllm import LLM, SamplingParams
from vllm.sampling_params import StructuredOutputsParams


class Person(BaseModel):
    name: str
    age: int


llm = LLM("smollm2")
messages = [{"role": "user", "content": "Ada Lovelace is 36 years old. Extract name and age."}]
settings = SamplingParams(structured_outputs=StructuredOutputsParams(json=Person.model_json_schema()), max_tokens=64)
print(Person.model_validate_json(llm.chat(messages, settings)[0].outputs[0].text))
