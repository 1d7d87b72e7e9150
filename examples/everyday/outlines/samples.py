import outlines
from llama_cpp import Llama

model = outlines.from_llamacpp(Llama("smollm2.gguf"), chat_mode=False)
for seed in range(8):
    print(model("Roses are", temperature=0.9, seed=seed, max_tokens=16))
