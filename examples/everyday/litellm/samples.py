from litellm import text_completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}
for sample in text_completion("Roses are", n=8, seed=7, temperature=0.9, max_tokens=16, **server).choices:
    print(sample.text)
