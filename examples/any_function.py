"""Any function from token ids to logits is a model, and a transformers logits processor is a processor."""

import torch
from transformers import NoRepeatNGramLogitsProcessor

import decodekit
from decodekit_torch import hf_logits_processor


def random_walk(ids):
    """A random walk on a circle of 12 places: usually one step left or right."""
    distance = (torch.arange(12) - ids[..., None]).abs()
    return -2.0 * torch.minimum(distance, 12 - distance).float()


if __name__ == "__main__":
    adapter = decodekit.adapter("torch", model=random_walk)
    chain = decodekit.Chain([hf_logits_processor(NoRepeatNGramLogitsProcessor(2))])
    with decodekit.Session(adapter, chain, seed=7) as session:
        result = session.generate(decodekit.Prefix([0]), max_tokens=24)
    print("a walk of", len(result.token_ids), "steps:", *result.token_ids)
    pairs = list(zip(result.token_ids, result.token_ids[1:], strict=False))
    print("no step is walked twice:", len(pairs) == len(set(pairs)))
