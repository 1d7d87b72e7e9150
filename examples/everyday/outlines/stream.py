import outlines
from llama_cpp import Llama

model = outlines.from_llamacpp(Llama("smollm2.gguf"))
for piece in model.stream("What is rain?", max_tokens=32):
    print(piece, end="", flush=True)
