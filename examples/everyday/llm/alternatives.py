import llm

model = llm.get_model("smollm2-completion")
response = model.prompt("The capital of France is", logprobs=5, max_tokens=1, stream=False)
for token, logprob in response.json()["choices"][0]["logprobs"]["top_logprobs"][0].items():
    print(token, logprob)
