from litellm import text_completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}
answer = text_completion("The capital of France is", temperature=0.8, top_p=0.95, stop="\n", max_tokens=16, **server)
print(answer.choices[0].text)
