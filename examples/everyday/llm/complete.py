import llm

model = llm.get_model("smollm2-completion")
print(model.prompt("The capital of France is", temperature=0.8, top_p=0.95, stop="\n", max_tokens=16).text())
