import decodekit

with decodekit.open("smollm2.gguf", top_logprobs=5) as session:
    for token in session.generate("The capital of France is", max_tokens=1).tokens[0].top:
        print(token.text, token.logprob)
