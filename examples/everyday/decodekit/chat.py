import decodekit

with decodekit.open("smollm2.gguf", chain="temperature=0.7 top_p=0.9") as session:
    print(session.generate(decodekit.messages("What is rain?", system="Answer in one sentence."), max_tokens=32).text)
