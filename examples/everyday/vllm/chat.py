from vllm import LLM, SamplingParams

messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
llm = LLM("smollm2")
print(llm.chat(messages, SamplingParams(max_tokens=32))[0].outputs[0].text)
