import outlines
from llama_cpp import Llama

model = outlines.from_llamacpp(Llama("smollm2.gguf"), chat_mode=False)
print(model("The capital of France is", temperature=0.8, top_p=0.95, stop="\n", max_tokens=16))
