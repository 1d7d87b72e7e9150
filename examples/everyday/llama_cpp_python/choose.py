from llama_cpp import Llama, LlamaGrammar

llm = Llama("smollm2.gguf")
grammar = LlamaGrammar.from_string('root ::= " positive" | " negative" | " neutral"')
print(llm("Review: I loved every minute of it.\nSentiment:", grammar=grammar, temperature=0)["choices"][0]["text"])
