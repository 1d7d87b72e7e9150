from llama_cpp import Llama

llm = Llama("smollm2.gguf", logits_all=True)
answer = llm("The capital of France is", logprobs=5, max_tokens=1)
for token, logprob in answer["choices"][0]["logprobs"]["top_logprobs"][0].items():
    print(token, logprob)
