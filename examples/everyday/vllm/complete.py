from vllm import LLM, SamplingParams

llm = LLM("smollm2")
settings = SamplingParams(temperature=0.8, top_p=0.95, stop="\n", max_tokens=16)
print(llm.generate("The capital of France is", settings)[0].outputs[0].text)
