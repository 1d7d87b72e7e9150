import decodekit

with decodekit.open("smollm2.gguf", chain="temperature=0.8 top_p=0.95") as session:
    print(session.generate("The capital of France is", stop="\n", max_tokens=16).text)
