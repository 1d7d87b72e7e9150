"""Whole texts, drawn until they are valid: plain rejection, and CARS, which never draws a known failure again."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Interval
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import multinomial
from decodekit.draw.weights import log_of
from decodekit.errors import EmptySupport
from decodekit.model.adapter import Answer
from decodekit.search.known_prefixes import Known, Passed, learn, remaining
from decodekit.search.valid_samples import Reason, ValidSamples
from decodekit.search.writing import Branch, End, Writer
from decodekit.session.question import Question
from decodekit.types import Ids

__all__ = ["Runs"]

_MOST_AT_ONCE = 8  # runs of CARS that begin with the same knowledge


@dataclass(slots=True)
class _Run:
    """One text.

    Args:
        stream: which run it is.
        branch: as far as it is written.
        known: what was known of its prefix when it began; None where that is nothing.
        path: its tokens, for `learn`.
    """

    stream: int
    branch: Branch
    known: Known | None
    path: list[Passed] = field(default_factory=list)


@dataclass(slots=True)
class _Outcome:
    """What is kept of a run.

    Args:
        reach: the probability of all prefixes not known to be invalid when it began.
        known_valid, known_cut: the probability of the different texts that were known then to be valid, or to be cut.
        fresh: whether it became a valid text that was not known then.
        end: how it ended; None while it is open.
    """

    reach: float
    known_valid: float
    known_cut: float
    fresh: bool = False
    end: End | None = None

    @property
    def cut(self) -> bool:
        return self.end not in ("stop", "complete", "invalid")

    @property
    def estimate(self) -> float:
        """Of the probability of a valid text: its mean is that probability, whatever was known."""
        return self.known_valid + self.reach * self.fresh


class Runs:
    """Draws runs until ``n`` are valid.

    Rejection: every run is a draw from the law, and a valid one is a draw from the law given that it is valid. Run j
    has stream j, so that `Session.generate` with this seed and stream writes the same text.

    CARS (constrained adaptive rejection sampling, arXiv 2510.01902): before a run, all prefixes that are known to be
    invalid are taken away from the law, and the rest is normalised as a whole, not token by token. A valid text x has
    probability p(x) / reach then, whatever is known, so the accepted ones are independent draws from the law given
    that they are valid; what was learnt changes only how often a run is accepted. Nothing is learnt while runs are
    written: they would be drawn from two laws. So runs come in batches of 1, 1, 2, 4, 8, 8, ..., whatever the adapter.

    Runs are accepted in the order in which they began, not in that in which they ended: otherwise short texts would be
    too frequent.

    Args:
        writer: extends branches.
        n: how many valid texts.
        max_runs: the most runs.
        learns: CARS.
    """

    def __init__(self, writer: Writer, n: int, max_runs: int, *, learns: bool) -> None:
        self._writer, self._n, self._max_runs = writer, n, max_runs
        self._root = Known() if learns else None
        self._outcomes: list[_Outcome] = []  # of all runs, in the order in which they began
        self._valid: dict[int, Branch] = {}
        self._known_valid: dict[tuple[int, ...], float] = {}  # the probabilities of texts, for CARS
        self._known_cut: dict[tuple[int, ...], float] = {}
        self._settled = 0  # runs that have ended, up to the first that has not
        self._accepted = 0  # of those, the valid ones
        self._count: int | None = None  # how many runs count, once n of them are valid

    def write(self) -> Generator[Question, Sequence[Answer], None]:
        """Draw the runs.

        Raises:
            EmptySupport: all probability is known to be invalid.
        """
        yield from self._writer.fill()
        batch: list[_Run] = []
        open_: list[_Run] = []
        while not self._enough():
            begun = self._begun(len(open_))
            batch, open_ = [*batch, *begun] if self._root is not None else [], [*open_, *begun]
            if not open_:
                return
            yield from self._one_token(open_)
            open_ = [run for run in open_ if run.branch.end is None]
            if not open_ and self._root is not None:
                self._learn(self._root, batch)
                batch = []

    def found(self, reason: Reason) -> ValidSamples:
        """The valid texts so far, and why there are no more."""
        outcomes = self._outcomes[: self._count]
        ended = [each for each in outcomes if each.end is not None]
        accepted = [self._valid[j] for j, each in enumerate(outcomes) if each.end is not None and j in self._valid]
        values = [each.estimate for each in ended]
        # With the run that ended the search left out, the mean is unbiased (Haldane 1945, for equal `reach`).
        p_valid, error = _mean(values[:-1] if self._count is not None and self._n > 1 else values)
        p_cut, _ = _mean([each.known_cut + each.reach * each.cut for each in outcomes])
        bounds = self._bounds()
        if self._root is not None:
            p_valid = min(max(p_valid, bounds.low), bounds.high)
            error = min(error, bounds.high - bounds.low)
        return self._writer.samples(
            [(branch, 0.0) for branch in accepted[: self._n]],
            method="rejection" if self._root is None else "cars",
            finish_reason="max_runs" if reason == "stop" and len(accepted) < self._n else reason,
            runs=len(outcomes),
            invalid=sum(each.end == "invalid" for each in outcomes),
            cut=sum(each.cut for each in outcomes),
            log_p_valid=log_of(p_valid),
            relative_error=error / p_valid if p_valid > 0 else math.inf,
            p_cut=p_cut,
            bounds=bounds,
        )

    def _enough(self) -> bool:
        """Whether n runs are valid, and none that began before the last of them is open."""
        while self._count is None and self._settled < len(self._outcomes):
            if self._outcomes[self._settled].end is None:
                break
            self._accepted += self._settled in self._valid
            self._settled += 1
            if self._accepted == self._n:
                self._count = self._settled
        return self._count is not None

    def _begun(self, open_: int) -> list[_Run]:
        """New runs, as many as may be written beside the open ones."""
        before = len(self._outcomes)
        wanted = min(self._writer.width, max(self._n, before)) - open_
        if self._root is not None:
            wanted = 0 if open_ else min(max(1, before), _MOST_AT_ONCE)
        elif len(self._valid) >= self._n:
            wanted = 0  # it is only to be decided which
        reach = 1.0 if self._root is None else self._root.alive
        if reach == 0.0:
            raise self._nothing_left()
        valid, cut = math.fsum(self._known_valid.values()), math.fsum(self._known_cut.values())
        streams = range(before, min(before + wanted, self._max_runs))
        self._outcomes += [_Outcome(reach, valid, cut) for _ in streams]
        return [_Run(stream, self._writer.start(), self._root) for stream in streams]

    def _one_token(self, runs: Sequence[_Run]) -> Generator[Question, Sequence[Answer], None]:
        """One more token for each run."""
        decided = yield from self._writer.next_of(
            [run.branch for run in runs], lambda i, reshaped: self._drawn(runs[i], reshaped)
        )
        for run, each in zip(runs, decided, strict=True):
            run.branch, passed = (each, None) if isinstance(each, Branch) else each
            if passed is not None:
                run.path.append(passed)
                run.known = None if run.known is None else run.known.after(passed.token_id)
            outcome = self._outcomes[run.stream]
            if run.branch.valid:
                self._valid[run.stream] = run.branch
                outcome.fresh = run.branch.ids not in self._known_valid
            outcome.end = run.branch.end  # last: now it has ended

    def _drawn(self, run: _Run, reshaped: Reshaped) -> tuple[Branch, Passed]:
        law, branch, stream, writer = reshaped.final, run.branch, run.stream, self._writer
        noise = Randomness(writer.seed, stream).at(len(branch.ids))
        if self._root is None:
            token_id = multinomial(law, branch.context, noise).token_id
            return writer.extended(branch, reshaped, token_id, stream), Passed(token_id, 0.0, None, True)
        law.require_complete("the probability of what is left")
        allowed = writer.allowed(branch)
        masked = None if allowed is None else _kept(law, allowed)
        kept = None if allowed is None else 0.0
        if masked is not None:
            kept = min(1.0, math.exp(masked.log_normalizer - law.log_normalizer))
        left = remaining(law, run.known, masked)
        if left is None:
            if not branch.ids:
                raise self._nothing_left()
            return replace(branch, end="invalid"), Passed(None, 0.0, kept, True)
        token_id = multinomial(left, branch.context, noise).token_id
        if allowed is not None and token_id not in allowed:
            return replace(branch, end="invalid"), Passed(token_id, 0.0, kept, False)
        grown = writer.extended(branch, reshaped, token_id, stream)
        return grown, Passed(token_id, math.exp(law.logprob(token_id)), kept, True)

    def _learn(self, root: Known, batch: Sequence[_Run]) -> None:
        """Take what the runs of a batch have shown away from the next ones."""
        for run in batch:
            learn(root, run.path, valid=run.branch.valid)
            known = self._known_valid if run.branch.valid else self._known_cut if run.branch.cut else {}
            if run.branch.logprob is not None:
                known[run.branch.ids] = math.exp(run.branch.logprob)

    def _nothing_left(self) -> EmptySupport:
        why = "; some runs were cut, so a larger max_tokens may help" if self._known_cut else ""
        return EmptySupport(f"no text is valid: all probability was found to begin an invalid one{why}")

    def _bounds(self) -> Interval:
        """The probability of the valid texts seen, and of all that is not known to be invalid."""
        seen = {branch.ids: branch.logprob for branch in self._valid.values()}
        low = math.fsum(math.exp(logprob) for logprob in seen.values() if logprob is not None)
        high = 1.0 if self._root is None else self._root.alive
        return Interval(min(low, high), high)


def _kept(law: Distribution, allowed: Ids) -> Distribution | None:
    """The law on the allowed tokens; None where none of them has probability."""
    try:
        return law.keep(allowed)
    except EmptySupport:
        return None


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and its standard error; inf of fewer than two values."""
    if len(values) < 2:
        return math.fsum(values), math.inf
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) * (len(values) - 1)))
