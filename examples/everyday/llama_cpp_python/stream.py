from llama_cpp import Llama

llm = Llama("smollm2.gguf")
for chunk in llm.create_chat_completion([{"role": "user", "content": "What is rain?"}], stream=True, max_tokens=32):
    print(chunk["choices"][0]["delta"].get("content", ""), end="", flush=True)
