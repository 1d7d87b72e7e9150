import llm

model = llm.get_model("SmolLM2")
print(model.prompt("What is rain?", system="Answer in one sentence.").text())
