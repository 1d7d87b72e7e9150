"""A custom processor: four lines, and it works on every backend and is recorded like any other."""

import decodekit


@decodekit.register_processor("no_doubt")
def no_doubt(dist, ctx, *, no_doubt: float = 0.5):
    """If the surprisal of the most likely token is below ``no_doubt`` nats, take that token."""
    return dist.top(1) if dist.logprob(dist.mode) > -no_doubt else dist


if __name__ == "__main__":
    chain = decodekit.Chain([decodekit.processor("no_doubt", no_doubt=0.7)])
    with decodekit.Session(decodekit.adapter("llamacpp", model="smollm2"), chain, seed=7) as session:
        result = session.generate("The capital of France is", max_tokens=24)
    print(result.text)
    print(sum(step.entries[0].support == 1 for step in result.trace.steps), "of 24 tokens without doubt")
