from litellm import completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}
messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
print(completion(messages=messages, max_tokens=32, **server).choices[0].message.content)
