import llm

model = llm.get_model("smollm2-completion")
for seed in range(8):
    print(model.prompt("Roses are", seed=seed, temperature=0.9, max_tokens=16).text())
