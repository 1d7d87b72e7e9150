"""Which sequence of one trace belongs to which of another, and whether an id means the same token in both."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from decodekit.trace.opened import Opened

__all__ = ["Pair", "ids_mean_the_same", "pairs_of"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sequences that belong together, by their streams, and how that was found."""

    a: int
    b: int
    by: str


def pairs_of(a: Opened, b: Opened) -> tuple[list[Pair], list[int], list[int]]:
    """The pairs in the order of the first trace, and the streams of each that have no partner.

    Sequences of the same stream and prompt belong together, then those of the same prompt, then those of the same
    stream. Where each has one left, the two belong together too.
    """
    left = [stream for stream, _ in a.header.sequences]
    right = dict.fromkeys(stream for stream, _ in b.header.sequences)
    prompts_a, prompts_b = (
        {stream: tuple(run.bare.prompt_of(stream)) for stream, _ in run.header.sequences} for run in (a, b)
    )
    pairs: list[Pair] = []

    def take(by: str, partner: Callable[[int], int | None]) -> None:
        for one in list(left):
            other = partner(one)
            if other is not None and other in right:
                pairs.append(Pair(one, other, by))
                left.remove(one)
                del right[other]

    take("stream and prompt", lambda one: one if prompts_b.get(one) == prompts_a[one] else None)
    by_prompt: dict[tuple[int, ...], deque[int]] = {}
    for other in right:
        by_prompt.setdefault(prompts_b[other], deque()).append(other)

    def of_the_same_prompt(one: int) -> int | None:
        others = by_prompt.get(prompts_a[one])
        return others.popleft() if others else None

    take("prompt", of_the_same_prompt)
    take("stream", lambda one: one)
    if len(left) == len(right) == 1:
        pairs.append(Pair(left.pop(), right.popitem()[0], "order"))
    order = {stream: at for at, (stream, _) in enumerate(a.header.sequences)}
    return sorted(pairs, key=lambda pair: order[pair.a]), left, list(right)


def ids_mean_the_same(a: Opened, b: Opened) -> bool:
    """Whether an id means the same token in both traces.

    Backends compute the fingerprint of a tokenizer in different ways, so another fingerprint alone says little: the
    recorded texts of the ids that both traces have decide. Without any, other fingerprints do.
    """
    one, other = (run.header.adapter.get("tokenizer_fingerprint") or "" for run in (a, b))
    if one and one == other:
        return True
    texts_a, texts_b = a.texts(), b.texts()
    shared = [token_id for token_id in texts_a if token_id in texts_b]
    if shared:
        agreeing = sum(bool(texts_a[token_id] & texts_b[token_id]) for token_id in shared)
        return 2 * agreeing > len(shared)  # the text of half a character differs with the other half
    if set().union(*texts_a.values()) & set().union(*texts_b.values()):
        return False  # the same texts, and never the same id
    return not (one and other) and a.header.adapter.get("vocab_size") == b.header.adapter.get("vocab_size")
