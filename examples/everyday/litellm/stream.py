from litellm import completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}
for chunk in completion(messages=[{"role": "user", "content": "What is rain?"}], stream=True, max_tokens=32, **server):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
