"""Scoring given texts: log-probability, rank and entropy for each token, exact or within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from decodekit.analysis.numbers.intervals import logprob_bounds, rank_bounds
from decodekit.analysis.scores.forced import forced
from decodekit.analysis.scores.scored import Bounded, TextScore
from decodekit.distribution import Distribution
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import blocking
from decodekit.model.prefix import Prefix
from decodekit.session.continuation import Continuation, Tokens, prefix_and_tokens, tokens_of
from decodekit.session.prompts import Prompt

__all__ = ["score", "score_many", "score_pairs"]


def score(adapter: Adapter | AsyncAdapter, text: Continuation, given: Prompt | None = None) -> TextScore:
    """How likely a text is, token by token. Nothing is drawn.

    All prefixes of the text are one question as far as memory allows, which a model in this process evaluates in one
    forward pass. `decodekit.Session.score` is the log-probability alone, also under the law of a chain.

    Args:
        adapter: the model.
        text: a text or token ids; tokenised as by `Session.score`.
        given: what comes before it, a prompt in any form, which is not scored. Without it the text follows the model's
            begin-of-text token; for a model without one, its first token is given and the others are scored
            (`TextScore.given` is 1, and ``token_ids`` has the others).

    Raises:
        ParameterError: the text is empty, has an id outside the vocabulary, is text and there is no tokenizer, or has
            one token and nothing before it.
        ContextOverflow: the text does not fit the model's context.
        DecodekitError: the adapter's answer for a prefix.
    """
    (found,) = score_many(adapter, [text], given)
    return found


def score_many(
    adapter: Adapter | AsyncAdapter, texts: Iterable[Continuation], given: Prompt | None = None
) -> Iterator[TextScore]:
    """Score many texts, each after the same ``given``; see `score`. They are read, and short ones share a question."""
    listed: object = texts
    if isinstance(listed, str | bytes) or not isinstance(listed, Iterable):
        raise ParameterError("texts is a list of texts, or of lists of token ids; one text is for score")
    return score_pairs(adapter, ((given, text) for text in texts))


def score_pairs(
    adapter: Adapter | AsyncAdapter, pairs: Iterable[tuple[Prompt | None, Continuation]]
) -> Iterator[TextScore]:
    """Score many texts, each after what is given for it; see `score`. An error names the text by its place."""
    model = blocking(adapter)
    begun: deque[_Begun] = deque()

    def texts() -> Iterator[tuple[Prefix, Sequence[int]]]:
        for i, (given, text) in enumerate(pairs):
            try:
                prefix, tokens = _placed(model, given, text)
            except ParameterError as error:
                raise ParameterError(f"text {i}: {error}") from None
            begun.append(_Begun(len(prefix), tokens))
            yield prefix, tokens[0]

    for _, at, dist in forced(model, texts()):
        begun[0].add(dist)
        if at + 1 == len(begun[0].tokens[0]):
            yield begun.popleft().ended()


def _placed(adapter: Adapter, given: Prompt | None, text: Continuation) -> tuple[Prefix, Tokens]:
    """What the tokens follow, and the tokens."""
    bos = None if adapter.tokenizer is None else adapter.tokenizer.bos_id
    if given is None and bos is None:
        return _after_its_first(adapter, text)
    if given is None and not isinstance(text, str) and len(text) > 1 and text[0] == bos:
        text = text[1:]
    prefix, (tokens,) = prefix_and_tokens(adapter, "" if given is None else given, [text], several=False)
    return prefix, tokens


def _after_its_first(adapter: Adapter, text: Continuation) -> tuple[Prefix, Tokens]:
    """The tokens of a text behind its first one, where nothing can stand before that."""
    if getattr(adapter.tokenizer, "whole_texts", False):
        raise ParameterError(
            "text: this server takes texts, and its tokens are not known, so a whole text cannot be scored; name its "
            "tokenizer with tokenizer=, or give what comes before a text of one token"
        )
    ids, tokenised, size = tokens_of(adapter, "", Prefix(), text, "text")
    if len(ids) < 2:
        raise ParameterError(
            "text: its only token has nothing before it, because this model has no begin-of-text token; give a text or "
            "a token id that comes before it"
        )
    first = ids[:1]
    left = None if size is None or adapter.tokenizer is None else size - len(adapter.tokenizer.decode(first))
    return Prefix(first), (ids[1:], tokenised, left)


@dataclass(slots=True)
class _Begun:
    """A text of which some tokens are scored."""

    given: int
    tokens: Tokens
    found: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, dist: Distribution) -> None:
        token_id = self.tokens[0][len(self.found)]
        self.found.append((*logprob_bounds(dist, token_id), *rank_bounds(dist, token_id), *dist.bounds("entropy")))

    def ended(self) -> TextScore:
        ids, tokenised, size = self.tokens
        table = np.array(self.found).T
        logprob, rank, entropy = (
            Bounded(table[at], table[at + 1], what)
            for at, what in ((0, "the log-probability"), (2, "the rank"), (4, "the entropy"))
        )
        gap = Bounded(-logprob.high - entropy.high, -logprob.low - entropy.low, "surprisal minus entropy")
        return TextScore(ids, self.given, tokenised, size, logprob, rank, entropy, gap)
