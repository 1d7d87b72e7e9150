from llama_cpp import Llama

messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What is rain?"}]
llm = Llama("smollm2.gguf")
print(llm.create_chat_completion(messages, max_tokens=32)["choices"][0]["message"]["content"])
