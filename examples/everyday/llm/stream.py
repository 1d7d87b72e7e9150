import llm

model = llm.get_model("SmolLM2")
for piece in model.prompt("What is rain?"):
    print(piece, end="", flush=True)
