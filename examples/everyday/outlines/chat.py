import outlines
from llama_cpp import Llama

messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
model = outlines.from_llamacpp(Llama("smollm2.gguf"))
print(model(outlines.inputs.Chat(messages), max_tokens=32))
