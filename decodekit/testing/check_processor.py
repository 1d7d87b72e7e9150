"""The contract of a processor as a function."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import BoundRandomness, Randomness
from decodekit.draw.samplers import greedy
from decodekit.errors import DecodekitError, EmptySupport, ParameterError, PluginError
from decodekit.testing.material import (
    MOST_QUESTIONS,
    Declared,
    all_logprobs,
    check_parameters,
    context,
    contexts_of,
    disclosed,
    distributions,
    global_chance,
    value_of,
)
from decodekit.testing.tokenizers import NoPiece, PiecesTokenizer
from decodekit.text.tokenizer import Tokenizer
from decodekit.types import Ids

__all__ = ["check_processor"]

_HEAD_SLACK = 2e-6  # the mass of a head is known to 1e-6

Outcome = Distribution | DecodekitError


def check_processor(
    processor: Any,
    *,
    dists: Sequence[Distribution] | None = None,
    contexts: Sequence[Context] | None = None,
    names_ids: bool = False,
    permutable: bool = True,
    seed: int = 0,
) -> int:
    """Check a processor, stateful or not, against the contract of `decodekit.plugin.protocols.Processor`.

    Its declared attributes are checked too: ``revives``, ``needs_logits``, ``pure``, ``argmax_invariant``,
    ``truncates``, and the bounds of its parameters.

    Args:
        processor: the processor, built.
        dists: complete distributions to run on; by default vocabularies of 2 to 3,000 tokens, masked, sparse, tied,
            peaked and flat.
        contexts: the contexts; by default a short prompt, a few tokens, and repeated tokens; they have a tokenizer.
        names_ids: the processor has certain ids as parameters (a bias, a grammar): its result may change when the
            vocabulary is permuted, and it may refuse a vocabulary without these ids with a `ParameterError`.
        permutable: False for another processor that depends on the ids on purpose, for example one that draws a random
            number per token.
        seed: the seed of everything random here.

    Returns:
        For how many distributions it returned a result.

    Raises:
        AssertionError: the processor breaks the contract; the message says on which distribution and how.
    """
    subject = _DeclaredProcessor(processor)
    check_parameters(processor)
    rng = np.random.default_rng(seed)
    rows: list[tuple[Distribution, Context, Distribution]] = []
    for dist in dists if dists is not None else distributions(rng):
        assert dist.tail is None, "give check_processor complete distributions; it makes the heads itself"
        for ctx in contexts if contexts is not None else contexts_of(dist, subject.name, seed):
            outcome = _check_run(subject, dist, ctx, names_ids)
            if not isinstance(outcome, Distribution):
                continue
            rows.append((dist, ctx, outcome))
            if not subject.pure:
                continue  # it must not run twice for one step
            _check_sparse(subject, dist, ctx, outcome)
            if subject.needs_logits:
                _check_refuses_logprobs(subject, dist, ctx)
            else:
                _check_shift(subject, dist, ctx, outcome)
                _check_heads(subject, dist, ctx)
            if permutable and not names_ids and len(np.unique(dist.scores)) == len(dist.scores):
                _check_permutation(subject, dist, ctx, outcome, rng)
            if subject.stateful:
                _check_states(subject, dist, ctx, outcome)
    assert rows, f"{subject.name} gave no result: it refused or emptied every distribution"
    _check_many(subject, rows)
    return len(rows)


class _DeclaredProcessor(Declared):
    def run(self, dist: Distribution, ctx: Context, state: Any = ...) -> Outcome:
        """The result, or one of the errors that a processor may raise."""
        extra = ((self.initial(ctx) if state is ... else state),) if self.stateful else ()
        try:
            after = self.called(self.call, dist, ctx, *extra)
        except (EmptySupport, Undisclosed, ParameterError) as error:
            return error
        except DecodekitError as error:
            raise AssertionError(f"{self.name} raised {error!r} on {dist!r}") from error
        assert isinstance(after, Distribution), f"{self.name} returned {type(after).__name__}, not a Distribution"
        return after


def _check_run(subject: _DeclaredProcessor, dist: Distribution, ctx: Context, names_ids: bool) -> Outcome:
    """One run: the input is unchanged, a second run gives the same, and what came out may come out."""
    outcome = _run_twice(subject, dist, ctx)
    if isinstance(outcome, ParameterError):
        assert names_ids or _unwritten(outcome), f"{subject.name} refused {dist!r}: {outcome}"
    assert not isinstance(outcome, Undisclosed), f"{subject.name} asks for more of a complete distribution: {outcome}"
    if isinstance(outcome, Distribution):
        _check_result(subject, dist, outcome)
    return outcome


def _unwritten(error: BaseException | None) -> bool:
    """Whether the cause is a text that a vocabulary of few letters cannot write."""
    return error is not None and (isinstance(error, NoPiece) or _unwritten(error.__cause__ or error.__context__))


def _run_twice(subject: _DeclaredProcessor, dist: Distribution, ctx: Context) -> Outcome:
    """The first of two equal outcomes; one run for a processor that must not run twice."""
    before, history, chance = value_of(dist), value_of(ctx), global_chance()
    outcome = subject.run(dist, ctx)
    assert value_of(dist) == before, f"{subject.name} changed the distribution it was given, {dist!r}"
    assert not dist.row.values.flags.writeable, f"{subject.name} made the distribution it was given writable"
    assert value_of(ctx) == history, f"{subject.name} changed the context it was given"
    if subject.pure:
        again = subject.run(dist, ctx)
        assert value_of(again) == value_of(outcome), (
            f"{subject.name} gave two answers to one question, {outcome!r} and {again!r}; "
            "use random numbers from ctx.rng only, and keep everything else in the state"
        )
        assert global_chance() == chance, f"{subject.name} drew from the global random state; use ctx.rng"
    return outcome


def _check_result(subject: _DeclaredProcessor, dist: Distribution, outcome: Distribution) -> None:
    """A complete distribution over the same vocabulary, with what the processor declares of it."""
    _check_sound(subject, outcome)
    assert outcome.tail is None, f"{subject.name} turned a complete distribution into one with a tail"
    assert outcome.vocab_size == dist.vocab_size, (
        f"{subject.name} turned a vocabulary of {dist.vocab_size} into one of {outcome.vocab_size}"
    )
    revived = np.setdiff1d(outcome.support(), dist.support())
    assert subject.revives or len(revived) == 0, (
        f"{subject.name} gave probability to token {revived[:1]}, which had none, and does not declare revives"
    )
    if subject.argmax_invariant:
        assert outcome.mode == dist.mode, (
            f"{subject.name} declares argmax_invariant and moved the mode from {dist.mode} to {outcome.mode}"
        )


def _check_sound(subject: _DeclaredProcessor, dist: Distribution) -> None:
    row, ids = dist.row.values, dist.token_ids
    assert not np.isnan(row).any(), f"{subject.name} made NaN"
    assert float(row.max()) < math.inf, f"{subject.name} made +inf"
    assert float(row.max()) > -math.inf, f"{subject.name} left no token, and raised no EmptySupport"
    assert not row.flags.writeable, f"{subject.name} returned a distribution that can be written to"
    if ids is not None:
        assert len(np.unique(ids)) == len(ids), f"{subject.name} returned a token twice"
        assert (np.diff(row) <= 0).all(), f"{subject.name} returned tokens that are not ordered by falling score"
        assert ids.min() >= 0, f"{subject.name} returned the token {ids.min()}"
        assert dist.vocab_size is None or ids.max() < dist.vocab_size, (
            f"{subject.name} returned token {ids.max()} of a vocabulary of {dist.vocab_size}"
        )


def _check_sparse(subject: _DeclaredProcessor, dist: Distribution, ctx: Context, expected: Distribution) -> None:
    """The same tokens and scores, listed by decreasing score instead of in id order, or the reverse."""
    if dist.token_ids is None:
        ids = dist.support()
        other = Distribution.listed(ids, dist.scores_of(ids), dist.vocab_size, origin=dist.origin)
    else:
        assert dist.vocab_size is not None
        row = np.full(dist.vocab_size, -math.inf)
        row[dist.token_ids] = dist.scores
        other = Distribution.dense(row, origin=dist.origin)
    _check_equal(subject.run(other, ctx), expected, f"{subject.name} on {other!r} and on {dist!r}")


def _check_shift(subject: _DeclaredProcessor, dist: Distribution, ctx: Context, expected: Distribution) -> None:
    """A constant added to every score is the same distribution."""
    for constant in (2.5, -40.0):
        moved = dist.with_scores(dist.scores + constant)
        _check_equal(
            subject.run(moved, ctx),
            expected,
            f"{subject.name} depends on a constant added to all scores, and does not declare needs_logits; {dist!r}",
            1e-8,
        )


def _check_refuses_logprobs(subject: _DeclaredProcessor, dist: Distribution, ctx: Context) -> None:
    ids = dist.support()
    logprobs = Distribution.head(ids, dist.logprobs_of(ids), dist.vocab_size)
    try:
        Chain([subject.call]).apply(logprobs, ctx)
    except PluginError:
        return
    except Undisclosed:
        pass
    raise AssertionError(f"{subject.name} declares needs_logits, and a chain ran it on logprobs")


def _check_permutation(
    subject: _DeclaredProcessor, dist: Distribution, ctx: Context, expected: Distribution, rng: np.random.Generator
) -> None:
    """Permuting the ids before the processor and after it must give the same."""
    if dist.token_ids is not None or dist.vocab_size is None or expected.ambiguous:
        return
    to = rng.permutation(dist.vocab_size)
    row = np.empty(dist.vocab_size)
    row[to] = dist.scores
    renamed = context(to[list(ctx.prompt_ids)].tolist(), to[list(ctx.output_ids)].tolist(), subject.name, 0)
    renamed = replace(renamed, rng=ctx.rng, tokenizer=_renamed(ctx.tokenizer, to), metadata=ctx.metadata)
    outcome = subject.run(Distribution.dense(row, origin=dist.origin), renamed)
    ids = expected.support()
    assert isinstance(outcome, Distribution) and outcome.support_size == len(ids), (
        f"{subject.name} gives another result when the ids are permuted; say names_ids=True if it should. {dist!r}"
    )
    gap = float(np.abs(outcome.logprobs_of(to[ids]) - expected.logprobs_of(ids)).max())
    assert gap < 1e-8, (
        f"{subject.name} gives a token another logprob, by {gap:.3g}, when the ids are permuted; "
        f"say names_ids=True if it should. {dist!r}"
    )


def _check_heads(subject: _DeclaredProcessor, dist: Distribution, ctx: Context) -> None:
    """A result on a head must be true of the whole distribution; and asking for more must lead to a result."""
    whole = Distribution.dense(all_logprobs(dist), origin="logprobs") if dist.vocab_size is not None else None
    if whole is None:
        return
    expected = subject.run(whole, ctx)
    counts = sorted({1, 3, whole.support_size // 2, whole.support_size - 1})
    for shown, summed in ((count, summed) for count in counts for summed in (False, True)):
        if not 0 < shown < whole.support_size:
            continue
        need = Disclosure(shown)
        for _ in range(MOST_QUESTIONS):
            head = disclosed(whole, need, summed=summed)
            outcome = subject.run(head, ctx)
            if isinstance(outcome, Undisclosed):
                assert head.tail is not None, f"{subject.name} asks for more than everything: {outcome}"
                need = ALL if need.covers(outcome.need) else need | outcome.need
                continue
            tail = isinstance(outcome, Distribution) and outcome.tail is not None
            assert not (subject.truncates and tail), f"{subject.name} declares truncates and left a tail on {head!r}"
            _check_true_of(outcome, expected, f"{subject.name} on the {shown} leading tokens of {dist!r}")
            break
        else:
            raise AssertionError(f"{subject.name} asks for more of {dist!r} again and again, and never answers")


def _check_true_of(part: Outcome, whole: Outcome, how: str) -> None:
    if not isinstance(part, Distribution) or not isinstance(whole, Distribution):
        assert type(part) is type(whole), f"{how} gave {part!r}, and on the whole {whole!r}"
        return
    if part.tail is None or part.ambiguous or whole.ambiguous:
        _check_equal(part, whole, how, _HEAD_SLACK)
        return
    assert part.token_ids is not None
    shown = part.token_ids
    got, expected = part.scores, whole.scores_of(shown)
    alive = expected > -math.inf
    assert (alive == (got > -math.inf)).all(), f"{how} kept {part!r}, and on the whole {whole!r}"
    if alive.any():
        gap = float(np.ptp(got[alive] - expected[alive]))
        assert gap < 1e-8, f"{how} moved the shown tokens against one another by {gap:.3g} nats: {part!r}, {whole!r}"
    hidden = np.setdiff1d(whole.support(), shown)
    if len(hidden) == 0:
        return
    logprobs = whole.logprobs_of(hidden)
    mass, tail = float(np.exp(logprobs).sum()), part.tail
    assert tail.mass_low - _HEAD_SLACK <= mass <= tail.mass_high + _HEAD_SLACK, (
        f"{how} says that the hidden tokens have {tail.mass_low:.9g} to {tail.mass_high:.9g}, and they have {mass:.9g}"
    )
    assert tail.max_logprob is None or float(logprobs.max()) <= tail.max_logprob + _HEAD_SLACK, (
        f"{how} says that no hidden logprob is above {tail.max_logprob}, and one is {float(logprobs.max())}"
    )


def _check_many(subject: _DeclaredProcessor, rows: Sequence[tuple[Distribution, Context, Distribution]]) -> None:
    """Where many rows may be given at once, each gets what it gets alone, to the last bit."""
    many = getattr(subject.call, "many", None)
    if many is None or subject.stateful:
        return
    together = many([dist for dist, _, _ in rows], [ctx for _, ctx, _ in rows])
    assert len(together) == len(rows), f"{subject.name} returned {len(together)} distributions for {len(rows)} rows"
    for (dist, _, alone), got in zip(rows, together, strict=True):
        same = np.array_equal(got.row.support(), alone.row.support()) and got.scores.tobytes() == alone.scores.tobytes()
        assert same, f"{subject.name} gave {dist!r} among others {got!r}, and alone {alone!r}"


def _check_states(subject: _DeclaredProcessor, dist: Distribution, ctx: Context, first: Distribution) -> None:
    """States are values: the same call gives the same state, states never change, and branches can share them."""
    probe = dist
    start = subject.initial(ctx)
    before = value_of(start)
    assert value_of(subject.run(probe, ctx, start)) == value_of(first), f"{subject.name}: initial(ctx) twice differs"
    assert value_of(start) == before, f"{subject.name} changed its state when it was called"
    noise = Randomness(0).at(ctx.step)
    chosen = greedy(first, ctx, noise)
    others = [int(i) for i in first.support()[:2] if i != chosen.token_id]
    forks = [chosen, *(replace(chosen, token_id=i) for i in others)]
    states = [subject.advance(start, choice, ctx, dist) for choice in forks]
    assert value_of(start) == before, f"{subject.name} changed its state in advance(); make a new one"
    kept = [value_of(state) for state in states]
    later = [_grown(ctx, choice.token_id) for choice in forks]
    answers = [value_of(subject.run(probe, c, state)) for c, state in zip(later, states, strict=True)]
    again = subject.advance(start, chosen, ctx, dist)
    assert value_of(subject.run(probe, later[0], again)) == answers[0], (
        f"{subject.name}: advance() from one state by one choice gave two states"
    )
    for c, state, answer in zip(later[::-1], states[::-1], answers[::-1], strict=True):
        after = subject.run(probe, c, state)
        if isinstance(after, Distribution):  # only of what it left a token is chosen
            subject.advance(state, greedy(after, c, noise), c, dist)
        assert value_of(subject.run(probe, c, state)) == answer, f"{subject.name}: a branch changed its sibling's state"
    assert [value_of(state) for state in states] == kept, f"{subject.name}: a branch changed its sibling's state"
    try:
        copied = copy.deepcopy(states[0])
    except TypeError:
        return  # a third-party object that cannot be copied; its results were checked above
    assert value_of(subject.run(probe, later[0], copied)) == answers[0], (
        f"{subject.name}: a copied state gives another result"
    )


def _renamed(tokenizer: Tokenizer | None, to: Ids) -> Tokenizer | None:
    """The same tokens with their new ids, for a tokenizer whose tokens are pieces."""
    if not isinstance(tokenizer, PiecesTokenizer):
        return tokenizer
    pieces: list[bytes | None] = [None] * len(to)
    for old, new in enumerate(to.tolist()):
        pieces[new] = tokenizer.token_bytes(old)
    ends = [int(to[token]) for token in tokenizer.eos_ids]
    return PiecesTokenizer(pieces, eos_ids=ends, bos_id=None if tokenizer.bos_id is None else int(to[tokenizer.bos_id]))


def _grown(ctx: Context, token_id: int) -> Context:
    ids = TokenIds([*ctx.output_ids, token_id])
    rng = ctx.rng
    if rng is not None:
        rng = BoundRandomness(rng.source, len(ids), rng.domain, rng.draw)
    return Context(ctx.prompt_ids, ids, ctx.tokenizer, ctx.metadata, rng)


def _check_equal(got: Outcome, expected: Outcome, how: str, tolerance: float = 1e-9) -> None:
    if not isinstance(got, Distribution) or not isinstance(expected, Distribution):
        assert type(got) is type(expected), f"{how} gave {got!r} and {expected!r}"
        return
    if got.ambiguous or expected.ambiguous:
        return  # a decision on its boundary may go either way, and is marked as ambiguous
    mine, theirs = got.support(), expected.support()
    assert np.array_equal(np.sort(mine), np.sort(theirs)), (
        f"{how} kept {len(mine)} and {len(theirs)} tokens: {got!r}, {expected!r}"
    )
    gap = float(np.abs(got.logprobs_of(theirs) - expected.logprobs_of(theirs)).max())
    assert gap <= tolerance, f"{how}: logprobs differ by {gap:.3g} nats: {got!r}, {expected!r}"
