import decodekit

with decodekit.open("smollm2.gguf", chain="temperature=0.9", seed=7) as session:
    for sample in session.generate_many(["Roses are"], n=8, max_tokens=16)[0]:
        print(sample.text)
