"""Why this token? The distribution before and after each processor, the draw, and the proof."""

import math

import decodekit

chain = decodekit.Chain([decodekit.processor("temperature", temperature=0.8), decodekit.processor("top_p", top_p=0.9)])
adapter = decodekit.adapter("llamacpp", model="smollm2")
session = decodekit.Session(adapter, chain, seed=7)
result = session.generate("The capital of France is", max_tokens=8)
step = result.trace.steps[5]

stages = [("raw", step.raw.top)] + [(entry.name, entry.top) for entry in step.entries]
for name, top in stages:
    shown = [f"{adapter.tokenizer.token_bytes(i).decode(errors='replace')!r} {math.exp(lp):.3f}" for i, lp in top]
    print(f"{name:>12}  {'  '.join(shown)}")
print(f"{'draw':>12}  word {step.draw.word:016x}, margin {step.choice.margin:.3f} nats")
print(f"{'verdict':>12}  {decodekit.verify(result.trace).word}")
adapter.close()
