"""From logits on a device to the tokens of 32 sequences, with top 20, raw entropy and a Step for each.

Ours is a session with records at level proof over a model that only looks its logits up, so the adapter and its heads
count too. The other side keeps everything on the device: a chain that sorts, softmax, ``torch.multinomial``, and a
log-softmax with a top 20 of its own; the ids and the top 20 come over, nothing else is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import decodekit

from .timing import Ratio, paired

V = 151_936
SEQUENCES, TOKENS, TOP, HEAD = 32, 8, 20, 64
TEMPERATURE, TOP_K, TOP_P = 0.8, 40, 0.95


def logits_on(device: str, sequences: int, size: int) -> Any:
    """float32[sequences, size]: N(0, 2.2) with a heavy head, as in the table of chains."""
    import torch

    noise = torch.Generator().manual_seed(0)
    rows = torch.randn(sequences, size, generator=noise) * 2.2
    for row in rows:
        row[torch.randperm(size, generator=noise)[:30]] = 20 + 1.5 * torch.randn(30, generator=noise)
    return rows.to(device)


def ours(logits: Any, *, truncated: bool, tokens: int) -> Callable[[], list[decodekit.Result]]:
    """All sequences, some tokens each, from heads computed where the logits lie."""
    import torch

    class Looked(torch.nn.Module):
        """Another row of the table for each length."""

        def __init__(self) -> None:
            super().__init__()
            self.rows = torch.nn.Parameter(logits, requires_grad=False)

        def forward(self, ids: Any) -> Any:
            return self.rows[(ids[:, 0] + ids.shape[1]) % len(self.rows)]

    adapter = decodekit.adapter("torch", model=Looked(), head=HEAD, max_sequences=len(logits))
    parts = [("temperature", TEMPERATURE), *([("top_k", TOP_K), ("top_p", TOP_P)] if truncated else [])]
    chain = decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in parts])
    session = decodekit.Session(adapter, chain, top_logprobs=TOP)
    prompts, turn = [decodekit.Prefix([row]) for row in range(len(logits))], iter(range(10**9))

    def run() -> list[decodekit.Result]:
        return [each for (each,) in session.generate_many(prompts, max_tokens=tokens, seed=next(turn))]

    return run


def theirs(logits: Any, *, truncated: bool, tokens: int) -> Callable[[], list[tuple[list[int], Any]]]:
    """The same rows in torch: for each token the ids, and the top 20 of each row as (logprobs, ids)."""
    import torch

    def reshaped(scores: Any) -> Any:
        scores = scores / TEMPERATURE
        if not truncated:
            return scores
        falling, order = scores.sort(-1, descending=True)
        falling[:, TOP_K:] = -torch.inf
        probabilities = falling.softmax(-1)
        falling[probabilities.cumsum(-1) - probabilities >= TOP_P] = -torch.inf
        return torch.empty_like(scores).scatter_(-1, order, falling)

    def run() -> list[tuple[list[int], Any]]:
        made = []
        with torch.inference_mode():
            for token in range(tokens):
                scores = logits.roll(-1 - token, 0)
                ids = torch.multinomial(reshaped(scores).softmax(-1), 1)[:, 0]
                leading = scores.log_softmax(-1).topk(TOP)
                made.append((ids.tolist(), (leading.values.tolist(), leading.indices.tolist())))
        return made

    return run


def compared(
    device: str, *, size: int = V, sequences: int = SEQUENCES, tokens: int = TOKENS, rounds: int = 20
) -> Iterator[Ratio]:
    """Both rows of the table on this device."""
    logits = logits_on(device, sequences, size)
    for what, truncated, goal in (("truncated", True, 3.0), ("untruncated", False, 1.0)):
        ways = (way(logits, truncated=truncated, tokens=tokens) for way in (ours, theirs))
        yield paired(
            f"{tokens} tokens of {sequences} sequences on {device}, {what}", "a chain in torch", *ways,
            rounds=rounds, goal=goal,
        )  # fmt: skip


def measure() -> Iterator[Ratio]:
    """All rows of the table; none where torch sees no GPU."""
    import torch

    if torch.cuda.is_available():
        yield from compared("cuda")
