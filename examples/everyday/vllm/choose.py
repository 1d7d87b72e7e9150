from vllm import LLM, SamplingParams
from vllm.sampling_params import StructuredOutputsParams

llm = LLM("smollm2")
labels = StructuredOutputsParams(choice=[" positive", " negative", " neutral"])
settings = SamplingParams(structured_outputs=labels, temperature=0)
print(llm.generate("Review: I loved every minute of it.\nSentiment:", settings)[0].outputs[0].text)
