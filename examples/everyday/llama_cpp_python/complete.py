from llama_cpp import Llama

llm = Llama("smollm2.gguf")
print(llm("The capital of France is", temperature=0.8, top_p=0.95, stop="\n", max_tokens=16)["choices"][0]["text"])
