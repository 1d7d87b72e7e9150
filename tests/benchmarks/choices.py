"""From a float32 array [32, V] on the CPU to 32 choices with their top-5 logprobs, against vLLM's own sampler.

vLLM's `Sampler` runs on CPU tensors, as its CPU build does: temperature, top-k, top-p, a draw, and the log-softmax with
its top 5. Where vLLM is not installed, the other side is transformers' processors, ``torch.multinomial`` and the same
log-softmax. Ours records nothing. Both have one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import decodekit
from decodekit.chain.batch import StepRow, draw_rows
from decodekit.draw.context import Context, TokenIds

from .chains import synthetic_rows
from .timing import Ratio, paired

ROWS, TOP = 32, 5
Parts = dict[str, float]
Outcome = tuple[list[int], list[list[float]], list[list[int]]]
"""The ids, and of each row the leading logprobs and their ids."""


def ours(logits: Any, parts: Parts) -> Callable[[], Outcome]:
    chain = decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in parts.items()])
    ctx, turn = Context(TokenIds([1]), TokenIds()), iter(range(10**9))
    states, sources = chain.initial(ctx), [decodekit.Randomness(7, stream=row) for row in range(ROWS)]

    def run() -> Outcome:
        step = next(turn)
        dists = [decodekit.Distribution.dense(row) for row in logits]
        rows = [
            StepRow(dist, ctx, states, source.at(step), chain.links, noted=False)
            for dist, source in zip(dists, sources, strict=True)
        ]
        ids = []
        for drawn in draw_rows(rows):
            assert drawn is not None
            ids.append((drawn.choice or drawn.reshaped.choose(drawn.noise)[0]).token_id)
        leading = [dist.leading(TOP) for dist in dists]
        return ids, [logprobs.tolist() for _, logprobs in leading], [tokens.tolist() for tokens, _ in leading]

    return run


def by_vllm(logits: Any, parts: Parts) -> Callable[[], Outcome]:
    import torch
    from vllm.v1.sample.logits_processor import LogitsProcessors
    from vllm.v1.sample.metadata import SamplingMetadata
    from vllm.v1.sample.sampler import Sampler

    def each(name: str, dtype: Any) -> Any:
        return torch.full((ROWS,), parts[name], dtype=dtype) if name in parts else None

    nothing = torch.zeros(ROWS)
    asked = SamplingMetadata(
        temperature=each("temperature", torch.float32), all_greedy=False, all_random=True,
        top_p=each("top_p", torch.float32), top_k=each("top_k", torch.int32), generators={}, max_num_logprobs=TOP,
        no_penalties=True, prompt_token_ids=None, frequency_penalties=nothing, presence_penalties=nothing,
        repetition_penalties=nothing + 1, output_token_ids=[[] for _ in range(ROWS)], allowed_token_ids_mask=None,
        bad_words_token_ids={}, logitsprocs=LogitsProcessors(),
    )  # fmt: skip
    sampler, tensor = Sampler(), torch.from_numpy(logits)

    def run() -> Outcome:
        with torch.inference_mode():
            made = sampler(tensor.clone(), asked)  # it works in place
        found = made.logprobs_tensors
        assert found is not None
        tokens = [ids[1:] for ids in found.logprob_token_ids.tolist()]
        return made.sampled_token_ids[:, 0].tolist(), [row[1:] for row in found.logprobs.tolist()], tokens

    return run


def by_transformers(logits: Any, parts: Parts) -> Callable[[], Outcome]:
    import torch
    from transformers import generation

    build = {
        "temperature": generation.TemperatureLogitsWarper,
        "top_k": lambda value: generation.TopKLogitsWarper(int(value)),
        "top_p": generation.TopPLogitsWarper,
    }
    warpers = [build[name](value) for name, value in parts.items()]
    tensor, past = torch.from_numpy(logits), torch.ones((ROWS, 1), dtype=torch.long)

    def run() -> Outcome:
        scores = tensor
        with torch.inference_mode():
            for warper in warpers:
                scores = warper(past, scores)
            ids = torch.multinomial(torch.softmax(scores, -1), 1)[:, 0]
            leading = tensor.log_softmax(-1).topk(TOP)
        return ids.tolist(), leading.values.tolist(), leading.indices.tolist()

    return run


def measure() -> Iterator[Ratio]:
    """All rows of the table."""
    import torch

    try:
        import vllm.v1.sample.sampler  # noqa: F401

        against, other = "vLLM's sampler", by_vllm
    except ImportError:
        against, other = "transformers and torch.multinomial", by_transformers
    torch.set_num_threads(1)
    made = synthetic_rows()
    logits = np.stack([made[row % len(made)] for row in range(ROWS)])
    for parts in (
        {"temperature": 0.8, "top_p": 0.95},
        {"temperature": 0.8, "top_k": 40},
        {"temperature": 0.8, "top_k": 40, "top_p": 0.95},
    ):
        ways = (way(logits, parts) for way in (ours, other))
        yield paired(f"32 rows, {', '.join(parts)}, top 5", against, *ways, rounds=10, goal=2.0)
