"""The most likely text, found by branch and bound, beside the text of greedy decoding, which need not be it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decodekit.analysis.texts.enumeration import MOST_WIDTH
from decodekit.analysis.texts.law import AnyChain, AnyModel, Beginning, Next, TextLaw
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.session.prompts import Prompt

__all__ = ["GreedyAndMode", "greedy_and_mode"]


@dataclass(frozen=True, slots=True)
class GreedyAndMode:
    """Two texts of one law.

    Args:
        greedy: the ids of the text of the most likely token at each step.
        greedy_logprob: its log-probability, in nats.
        mode: the ids of the most likely text; where several are, one of them.
        mode_logprob: its log-probability, in nats.
        evaluated: how many distributions the search needed.
    """

    greedy: tuple[int, ...]
    greedy_logprob: float
    mode: tuple[int, ...]
    mode_logprob: float
    evaluated: int

    @property
    def greedy_is_mode(self) -> bool:
        """Whether no text is more likely than the greedy one."""
        return self.greedy == self.mode


def greedy_and_mode(
    model: AnyModel,
    prompt: Prompt,
    max_tokens: int,
    *,
    most: int = 10_000,
    chain: AnyChain = None,
    stop_ids: Sequence[int] = (),
    metadata: Mapping[str, Any] | None = None,
) -> GreedyAndMode:
    """The greedy text and the most likely one, of those that have ended or have ``max_tokens`` tokens. Exact.

    The search goes on with the most likely beginning until a text is known that is more likely than every beginning
    left: no text is more likely than its own beginning.

    Args:
        model, prompt, chain, stop_ids, metadata: as for `decodekit.analysis.texts.law.TextLaw`.
        max_tokens: from 1 on.
        most: how many beginnings may be evaluated.

    Raises:
        ParameterError: the search did not end within ``most`` beginnings; the message has bounds.
        Undisclosed: an undisclosed token might begin a more likely text.
        DecodekitError: the adapter's answer for a prefix, or an error of the chain.
    """
    texts = TextLaw(model, prompt, chain=chain, stop_ids=stop_ids, metadata=metadata)
    length, limit = whole(max_tokens, "max_tokens", 1, MOST_WIDTH), whole(most, "most", 1, MOST_WIDTH)
    greedy, known = _greedy(texts, length)
    found, evaluated = greedy, len(known)
    count, waiting = 0, [(-0.0, 0, texts.start)]
    while waiting and -waiting[0][0] > found.logprob:
        _, _, begun = heapq.heappop(waiting)
        after = known.get(begun.ids)
        if after is None:
            if evaluated >= limit:
                raise ParameterError(
                    f"most: after {limit} beginnings the log-probability of the most likely text is between "
                    f"{found.logprob:.6g} and {begun.logprob:.6g}; let it be more, or the texts shorter"
                )
            (after,), evaluated = texts.after([begun]), evaluated + 1
        for longer in _followers(texts, after, found.logprob):
            if _is_whole(longer, length):
                found = longer if longer.logprob > found.logprob else found
            else:
                count += 1
                heapq.heappush(waiting, (-longer.logprob, count, longer))
    return GreedyAndMode(greedy.ids, greedy.logprob, found.ids, found.logprob, evaluated)


def _greedy(texts: TextLaw, length: int) -> tuple[Beginning, dict[tuple[int, ...], Next]]:
    """The greedy text, and the distributions along it."""
    begun, known = texts.start, dict[tuple[int, ...], Next]()
    while not _is_whole(begun, length):
        (after,) = texts.after([begun])
        known[begun.ids] = after
        begun = texts.extended(after, after.law.mode)
    return begun, known


def _followers(texts: TextLaw, after: Next, above: float) -> list[Beginning]:
    """The beginnings with one more token that are more likely than this, in nats."""
    least = above - after.before.logprob
    ids, scores = after.law.reaching(least + after.law.log_normalizer)
    alive = ids[scores > -math.inf].tolist()
    return [longer for token in alive if (longer := texts.extended(after, token)).logprob > above]


def _is_whole(begun: Beginning, length: int) -> bool:
    return begun.ended or len(begun.ids) >= length
