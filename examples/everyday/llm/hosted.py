import llm

model = llm.get_model("gpt-4.1-mini")
print(model.prompt("What is rain?", system="Answer in one sentence.", max_tokens=32).text())
