from litellm import text_completion

server = {"model": "hosted_vllm/smollm2", "api_base": "http://127.0.0.1:8000/v1"}
labels = {"structured_outputs": {"choice": [" positive", " negative", " neutral"]}, "temperature": 0}
print(text_completion("Review: I loved every minute of it.\nSentiment:", extra_body=labels, **server).choices[0].text)
