"""Scoring given continuations: one question for all their prefixes, as far as memory allows. No I/O.

The distributions after the prompt and after each token of a continuation give the log-probability of the next token.
They are asked for as the guesses of a run are: many prefixes of one text in one call of ``predict``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, get_args

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure, Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, Metadata, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import greedy, inverse_cdf, multinomial
from decodekit.errors import ContextOverflow, DecodekitError, EmptySupport, ParameterError
from decodekit.log import RunLog
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.admission import admit
from decodekit.model.prefix import Prefix
from decodekit.model.token_budget import rows_at_once
from decodekit.session.continuation import Tokens, require_known_token
from decodekit.session.inquiry import Inquiry
from decodekit.session.law import law_of, require_pure
from decodekit.session.options import GenerationOptions
from decodekit.session.portions import portions
from decodekit.session.question import Question
from decodekit.session.score import By, Ranked, Score
from decodekit.text.counted import counted
from decodekit.text.labels import token_label

__all__ = ["ScoreKeywords", "ranked", "scores", "scoring_options"]


class ScoreKeywords(TypedDict, total=False):
    """What `Session.score` and `Session.rank` take by keyword; see `score`."""

    chain: Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None
    metadata: Mapping[str, Any] | None
    priority: int
    max_waiting: int


def scoring_options(given: ScoreKeywords, metadata: Mapping[str, Any] | None) -> GenerationOptions:
    """The options of `Session.score`, checked: a chain, or None for the adapter's own law.

    Args:
        given: the keywords of the call.
        metadata: the session's, for a call without its own.

    Raises:
        TypeError: an unknown keyword.
        ParameterError: a value that no call can have, or a chain whose law is not one distribution: a part must run
            only once, or its sampler does not draw from what the processors return.
    """
    keywords: Any = given
    options = GenerationOptions.of(keywords, {"max_tokens": 0}, ScoreKeywords)
    chain = options.chain
    if chain is not None:
        require_pure(chain)
    if chain is not None and chain.sampler not in (multinomial, inverse_cdf, greedy):
        name = chain.links[-1].name
        raise ParameterError(
            f"chain: the sampler {name!r} may draw from another distribution than the processors return, so their law "
            "is not its law; score with sampler='multinomial'"
        )
    own = options.metadata if options.metadata is not None else metadata
    return replace(options, metadata=Metadata(own or {}))


@dataclass(slots=True)
class _Scored:
    """A continuation of which some tokens are scored."""

    ids: tuple[int, ...]
    start: Context
    states: tuple[Any, ...] = ()
    raw: list[float] = field(default_factory=list)
    reshaped: list[float] = field(default_factory=list)
    outputs: list[TokenIds] = field(default_factory=list)  # before each token; they share their memory

    def __post_init__(self) -> None:
        before = TokenIds()
        for token_id in self.ids:
            self.outputs.append(before)
            before = before.append(token_id)

    def context(self, at: int) -> Context:
        """Before token ``at``."""
        return Context(self.start.prompt_ids, self.outputs[at], self.start.tokenizer, self.start.metadata)


def scores(
    adapter: Adapter | AsyncAdapter,
    prefix: Prefix,
    continuations: Sequence[Tokens],
    options: GenerationOptions,
    log: RunLog,
) -> Generator[Question, Sequence[Answer], list[Score]]:
    """The questions for the distributions after each prefix of each continuation; then the scores.

    Args:
        adapter: the model; it is not asked here.
        prefix: the prompt.
        continuations: what to score.
        options: of the call.
        log: of this call, which is a run too.

    Raises:
        ContextOverflow: the longest does not fit the model's context; nothing was evaluated.
        Overloaded: too many callers wait for the adapter.
        Undisclosed: a token is among those that the adapter does not disclose.
        DecodekitError: the adapter's answer for a prefix, or an error of the chain.
    """
    admit(adapter, options.max_waiting)
    room, longest = adapter.info.context_length, len(prefix) + max((len(each[0]) for each in continuations), default=0)
    if room is not None and longest - 1 > room:
        raise ContextOverflow(f"{longest} tokens cannot be scored with a context length of {room}")
    chain = options.chain
    begun = [_Scored(ids, Context(TokenIds(prefix.since(0)), TokenIds(), adapter.tokenizer, options.metadata or {}))
             for ids, _, _ in continuations]  # fmt: skip
    log.debug("scoring started", continuations=len(begun), tokens=sum(len(each.ids) for each in begun))
    try:
        yield from _fill(begun, adapter, prefix, chain, log)
    finally:
        log.debug("scoring finished", tokens=sum(len(each.raw) for each in begun))
    return [
        Score(ids, tuple(each.raw), tokenised, size,
              None if chain is None else Score(ids, tuple(each.reshaped), tokenised, size))
        for each, (ids, tokenised, size) in zip(begun, continuations, strict=True)
    ]  # fmt: skip


def _fill(
    begun: Sequence[_Scored], adapter: Adapter | AsyncAdapter, prefix: Prefix, chain: Chain | None, log: RunLog
) -> Generator[Question, Sequence[Answer], None]:
    """Score every token of these continuations."""
    if chain is not None:
        for each in begun:
            each.states = chain.initial(each.start)
    left = yield from portions(adapter, prefix, None)
    places = [(each, at, following) for each in begun for at, following in enumerate(_prefixes(prefix, each.ids))]
    rows = rows_at_once(adapter.info.vocab_size)
    for start in range(0, len(places), rows):
        needs: dict[Prefix, Disclosure] = {}
        for each, at, following in places[start : start + rows]:
            needs[following] = needs.get(following, CHEAP) | _need(each, at, chain)
        answers = yield Question(list(needs), list(needs.values()), [], left + len(needs))
        left = 0
        known = dict(zip(needs, answers, strict=True))
        for each, at, following in places[start : start + rows]:
            known[following] = yield from _scored(each, at, following, needs[following], known[following], chain, log)


def ranked(found: Sequence[Score], by: By) -> list[Ranked]:
    """The candidates by falling value, then in the given order.

    Raises:
        ParameterError: two are the same tokens, or ``by`` is no way to rank, or a candidate has no bytes.
        EmptySupport: none has probability.
    """
    if by not in get_args(By):
        raise ParameterError(f"by is one of {', '.join(map(repr, get_args(By)))}, not {by!r}")
    seen: dict[tuple[int, ...], int] = {}
    for i, score in enumerate(found):
        if seen.setdefault(score.token_ids, i) != i:
            raise ParameterError(f"candidate {i} has the tokens of candidate {seen[score.token_ids]}; give each once")
    values = [(score.under_chain or score).by(by) for score in found]
    best = max(values, default=0.0)
    if best == -math.inf:
        raise EmptySupport("no candidate has probability here, so none is more likely than another")
    weights = [math.exp(value - best) for value in values]
    rows = [
        Ranked(i, score, value, weight / math.fsum(weights))
        for i, (score, value, weight) in enumerate(zip(found, values, weights, strict=True))
    ]
    return sorted(rows, key=lambda row: (-row.value, row.index))


def _prefixes(prefix: Prefix, ids: Sequence[int]) -> list[Prefix]:
    """The prefix before each of these tokens."""
    found = [prefix]
    for token_id in ids[:-1]:
        found.append(found[-1].extend((token_id,)))
    return found


def _need(each: _Scored, at: int, chain: Chain | None) -> Disclosure:
    return (CHEAP if chain is None else chain.need(each.context(at))) | Disclosure(ids=(each.ids[at],))


def _scored(
    each: _Scored, at: int, prefix: Prefix, need: Disclosure, answer: Answer, chain: Chain | None, log: RunLog
) -> Generator[Question, Sequence[Answer], Distribution]:
    """Score one token; ask again where its answer disclosed too little. Returns the answer that was enough."""
    inquiry = Inquiry()
    while True:
        if isinstance(answer, DecodekitError):
            raise answer
        final = inquiry.is_final(answer)
        try:
            _take(each, at, answer, chain)
            return answer
        except Undisclosed as error:
            if final:
                raise _hidden(error, answer, each, at) from error
            need |= error.need
            log.debug("asking for more", question=error.question, need=str(need))
        (answer,) = yield Question([prefix], [inquiry.next_need(need)], [])


def _take(each: _Scored, at: int, answer: Distribution, chain: Chain | None) -> None:
    token_id = each.ids[at]
    require_known_token(each.start.tokenizer, answer, token_id)
    raw = answer.logprob(token_id)
    if chain is not None:
        context = each.context(at)
        noise = Randomness(0).at(context.step)
        reshaped = chain.reshape(answer, context, each.states, noise)
        law = law_of(reshaped).top(1) if chain.sampler is greedy else law_of(reshaped)
        logprob = law.logprob(token_id)
        choice, _ = reshaped.settle(Choice(token_id, logprob))
        each.states = reshaped.states_after(choice)
        each.reshaped.append(logprob)
    each.raw.append(raw)


def _hidden(error: Undisclosed, answer: Distribution, each: _Scored, at: int) -> Undisclosed:
    """The error when nothing more can be asked for, with what is known of the token."""
    token_id, tokenizer = each.ids[at], each.start.tokenizer
    why = (answer.schedule or {}).get("shows_less", "") or f"the adapter showed {counted(len(answer.row), 'token')}"
    tail, ids = answer.tail, answer.token_ids
    most = None if tail is None or (ids is not None and bool(np.isin(token_id, ids))) else tail.max_logprob
    bound = "" if most is None else f"; its log-probability is at most {most:.4f} nats"
    if getattr(tokenizer, "whole_texts", False):
        bound += ". Without the server's tokenizer a text is taken for one token: name it, tokenizer="
    label = token_label(tokenizer, token_id)
    token = f"token {token_id}" if label == f"#{token_id}" else f"token {token_id} ({label})"
    final = Undisclosed(error.need, error.question)
    final.args = (f"{token}, number {at} of the continuation, cannot be scored: {error.question}; {why}{bound}",)
    return final
