"""Texts drawn from the law of a model and a chain, with the distributions that they were drawn from."""

from __future__ import annotations

from collections.abc import Callable

from decodekit.analysis.texts.law import Beginning, Next, TextLaw

__all__ = ["sampled_beginnings"]


def sampled_beginnings(
    texts: TextLaw,
    n: int,
    length: int,
    seed: int,
    seen: Callable[[int, Next, int], None] | None = None,
) -> list[Beginning]:
    """Draw n texts of at most this many tokens: text j is the one of `Session.generate` with ``stream=j``.

    The distribution after a beginning that several texts share is asked for once.

    Args:
        texts: the law.
        n, length: how many texts, and of how many tokens at most.
        seed: of the draws.
        seen: called for each token with the text's number, the distribution before it and the token.

    Raises:
        DecodekitError: as `TextLaw.after`.
    """
    begun = [texts.start] * n
    for _ in range(length):
        shared: dict[tuple[int, ...], list[int]] = {}
        for stream, each in enumerate(begun):
            if not each.ended:
                shared.setdefault(each.ids, []).append(stream)
        for after in texts.after([begun[streams[0]] for streams in shared.values()]):
            longer: dict[int, Beginning] = {}
            for stream in shared[after.before.ids]:
                token_id = texts.draw(after, seed, stream)
                if seen is not None:
                    seen(stream, after, token_id)
                if token_id not in longer:
                    longer[token_id] = texts.extended(after, token_id)
                begun[stream] = longer[token_id]
    return begun
