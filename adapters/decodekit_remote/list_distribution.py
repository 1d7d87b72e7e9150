"""A server's list for a position as a `Distribution`: the disclosed tokens, and the best bound on the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from decodekit.distribution import Distribution, Schedule, Stage
from decodekit.distribution.disclosure import ALL, Undisclosed
from decodekit.errors import DistributionError
from decodekit_remote.dialect import Capabilities, Position, Request, Token
from decodekit_remote.vocabulary import Vocabulary

__all__ = ["distribution", "is_repeated"]

_EXCESS = 1e-3
_FEW = 0.01  # of the probability
_CERTAIN = -1e-4  # a list whose first token is this likely may occur twice by chance


def distribution(
    position: Position,
    question: Request,
    capabilities: Capabilities,
    *,
    vocabulary: Vocabulary | None,
    vocab_size: int | None,
    stage: Stage,
    schedule: Schedule | None = None,
    bound: float | None = None,
    leaves_out: bool = False,
    shorter: Distribution | None = None,
) -> Distribution:
    """The distribution that a list proves, and nothing beyond it but what ``leaves_out`` allows.

    Args:
        position: the list.
        question: the question, which says how many tokens should be in the list.
        capabilities: what the server's special values mean.
        vocabulary: gives ids to tokens that come as texts; None when all come as ids.
        vocab_size: the number of tokens, or None.
        stage: whether the values are raw.
        schedule: for the record.
        bound: an upper bound on the logprobs of tokens not in the list, in nats, where more was asked than the list.
        leaves_out: whether a list of the whole vocabulary that has lost less than 1 % among equal texts is taken as all
            tokens that have probability.
        shorter: a shorter list for the same position, where fewer texts are equal.

    Raises:
        DistributionError: positive logprobs, a sum above 1.001, NaN, a token named twice, an empty list.
        Undisclosed: the list shows texts whose tokens are not known.
    """
    tokens, values = _listed_values(position, capabilities)
    if vocabulary is None:
        return _by_ids(np.array(tokens, dtype=np.int64), values, question, vocab_size, stage, schedule, bound)
    vocabulary.learn(position)
    ids = vocabulary.identify(tokens)
    if vocabulary.assumes:
        values = _by_place(ids, values, shorter)
    counts = Counter(token for token in ids if token is not None)
    twice = {token for token, count in counts.items() if count > 1}
    known = np.array([token is not None and token not in twice for token in ids])
    expected = min(question.top, vocab_size or question.top)
    shown = np.array([token for token, kept in zip(ids, known, strict=True) if kept], dtype=np.int64)
    whole = leaves_out and _is_whole(len(values), question.top, vocab_size)
    if whole and 1.0 - float(np.exp(values[known]).sum()) < _FEW:
        return Distribution.listed(shown, values[known], vocab_size, origin="logprobs", stage=stage, schedule=schedule)
    fallen = capabilities.distinct_keys and len(values) < expected and not vocabulary.assumes
    if not known.any() or (fallen and not vocabulary.tokenizer.vocab_size < 2**62):
        raise _merged_entries(expected, int(known.sum()))
    edge = _edge(values, question.top)
    hidden = float(max([edge, *values[~known]]))
    if bound is not None:
        hidden = bound
    elif fallen:
        hidden = max(edge, _first_shared(tokens, values, known, vocabulary))
    return Distribution.head(
        shown, values[known], vocab_size, stage=stage, schedule=schedule, max_hidden=max(hidden, -1e300)
    )


def _by_place(ids: Sequence[int | None], values: np.ndarray, shorter: Distribution | None) -> np.ndarray:
    """The values, where a text with the value of a later token has that of a shorter list, or else of the next entry.

    The server may compute a position again with other rounding, so no other value is taken from an earlier list.
    """
    least = np.maximum.accumulate(values[::-1])[::-1]
    before: dict[int | None, float] = {}
    if shorter is not None and shorter.token_ids is not None:
        before.update(zip(shorter.token_ids.tolist(), shorter.logprobs.tolist(), strict=True))
    for place in np.flatnonzero(least > values).tolist():
        least[place] = max(least[place], before.get(ids[place], -math.inf))
    return least


def _is_whole(listed: int, asked: int, vocab_size: int | None) -> bool:
    """Whether a list has every token: where their number is not known, equal texts account for less than an eighth."""
    return asked >= vocab_size if vocab_size is not None else listed < asked - asked // 8


def _first_shared(tokens: Sequence[Token], values: np.ndarray, known: np.ndarray, vocabulary: Vocabulary) -> float:
    """A bound on the tokens behind texts that several have, in nats: such a text has the place of its first token."""
    sharing = getattr(vocabulary, "sharing", None)
    before = 0.0
    for token, value, is_known in zip(tokens, values, known, strict=True):
        if is_known:
            before = float(value)
        else:
            return before if sharing is not None and sharing(token) else 0.0
    return float(values.min())


def _listed_values(position: Position, capabilities: Capabilities) -> tuple[list[Token], np.ndarray]:
    """The tokens whose logprobs the server gives, and these: -inf for an excluded one. Raises `DistributionError`."""
    values = np.array(position.logprobs, dtype=np.float64)
    tokens = list(position.tokens)
    if capabilities.unlisted_below is not None and len(values) and values.min() <= capabilities.unlisted_below:
        is_listed = values > capabilities.unlisted_below
        tokens, values = [token for token, kept in zip(tokens, is_listed, strict=True) if kept], values[is_listed]
    if len(values) == 0:
        raise DistributionError("the server sent an empty list of logprobs")
    values[values <= capabilities.impossible] = -math.inf
    if np.isnan(values).any():
        raise DistributionError("the server sent NaN among its logprobs")
    if values.max() > _EXCESS:
        raise DistributionError(f"the server sent positive logprobs, up to {values.max():.6g}")
    return tokens, values


def _merged_entries(asked: int, named: int) -> Undisclosed:
    error = Undisclosed(ALL, "which tokens the server's texts stand for")
    message = (
        f"the server lists tokens by their text, and of {asked} asked for {named} have a text of their own: the end of "
        "a text is '' there, and equal texts are one entry. Name the model's tokenizer with tokenizer=, which tells "
        "what may be behind a text, or use a dialect that lists ids or bytes, such as llama_server or vllm"
    )
    error.args = (message,)
    return error


def _by_ids(
    ids: np.ndarray,
    values: np.ndarray,
    question: Request,
    vocab_size: int | None,
    stage: Stage,
    schedule: Schedule | None,
    bound: float | None,
) -> Distribution:
    if len(ids) == vocab_size or (question.everything and vocab_size is None):
        scores = np.full(len(ids), math.nan)
        if ids.min() < 0 or ids.max() >= len(ids):
            raise DistributionError(f"a list of {len(ids)} tokens names token {ids.max()}")
        scores[ids] = values
        mass = float(np.exp(values).sum())
        if not abs(mass - 1) <= _EXCESS:
            raise DistributionError(
                f"logprobs up to {values.max():.6g} with a sum of {mass:.6g} are not a distribution"
            )
        return Distribution.dense(scores, origin="logprobs", stage=stage, schedule=schedule)
    edge = _edge(values, question.top) if bound is None else bound
    return Distribution.head(ids, values, vocab_size, stage=stage, schedule=schedule, max_hidden=max(edge, -1e300))


def _edge(values: np.ndarray, top: int) -> float:
    """The smallest of the most likely ones: an additional chosen or requested token may lie below hidden ones."""
    if len(values) <= top:
        return float(values.min())
    return float(np.partition(values, -top)[-top])


def is_repeated(one: Position, other: Position) -> bool:
    """Whether two positions have the same list, bit for bit: the server repeats the first list for every token."""
    values: Sequence[float] = one.logprobs
    return (
        len(values) > 2
        and max(values) < _CERTAIN
        and list(values) == list(other.logprobs)
        and list(one.tokens) == list(other.tokens)
    )
