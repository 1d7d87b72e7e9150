from llama_cpp import Llama

llm = Llama("smollm2.gguf")
for seed in range(8):
    print(llm("Roses are", temperature=0.9, seed=seed, max_tokens=16)["choices"][0]["text"])
