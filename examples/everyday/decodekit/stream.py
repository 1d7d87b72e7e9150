import decodekit

with decodekit.open("smollm2.gguf", chain="temperature=0.7 top_p=0.9") as session:
    for step in session.stream(decodekit.messages("What is rain?"), max_tokens=32):
        print(step.text, end="", flush=True)
