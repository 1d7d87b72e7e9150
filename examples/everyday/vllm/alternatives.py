from vllm import LLM, SamplingParams

llm = LLM("smollm2")
answer = llm.generate("The capital of France is", SamplingParams(logprobs=5, max_tokens=1))
for each in answer[0].outputs[0].logprobs[0].values():
    print(each.decoded_token, each.logprob)
