from vllm import LLM, SamplingParams

llm = LLM("smollm2")
for sample in llm.generate("Roses are", SamplingParams(n=8, seed=7, temperature=0.9, max_tokens=16))[0].outputs:
    print(sample.text)
