from litellm import text_completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}
answer = text_completion("The capital of France is", logprobs=5, max_tokens=1, **server)
for token, logprob in answer.choices[0].logprobs.top_logprobs[0].items():
    print(token, logprob)
