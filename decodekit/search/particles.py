"""Weighted texts: importance sampling token by token (AWRS), and with resampling (SMC)."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from decodekit.chain.reshaped import Reshaped
from decodekit.distribution.disclosure import Interval
from decodekit.draw.race import race_order
from decodekit.draw.randomness import ESTIMATORS, Randomness
from decodekit.draw.samplers import multinomial
from decodekit.draw.weights import effective_size, log_of, log_sum
from decodekit.errors import EmptySupport
from decodekit.model.adapter import Answer
from decodekit.search.first_valid import first_valid
from decodekit.search.valid_samples import Method, Reason, ValidSamples
from decodekit.search.writing import Branch, Writer
from decodekit.session.question import Question

__all__ = ["Particles"]


@dataclass(frozen=True, slots=True)
class _Particle:
    """A text with a weight.

    Args:
        branch: as far as it is written.
        log_weight: in nats; -inf where it became invalid, or was cut.
        ancestor: which of the first particles it goes back to.
    """

    branch: Branch
    log_weight: float
    ancestor: int


class Particles:
    """Writes ``n`` texts at once, of valid tokens only, and keeps for each what that took away as a weight.

    A token is drawn from the law on the valid tokens, and the weight is multiplied by their probability Z: the exact
    one where the validator knows what is allowed ('smc'), or the unbiased estimate of `first_valid`. So the mean of
    ``weight * f(text)`` over all particles, with weight 0 for a dead end, has the expectation of ``f`` times the
    indicator of validity: with f = 1 it is an unbiased estimate of the probability of a valid text.

    SMC: where the effective sample size of the weights is below ``resample_below * n``, n particles are drawn from the
    present ones in proportion to their weights (multinomial resampling), and each gets the mean weight. Both
    expectations stay what they were (Del Moral 2004).

    The draw of particle i has stream i at every step, whatever was copied into its place.

    Args:
        writer: extends branches.
        n: how many particles.
        max_checks: of one token of one particle.
        resample_below: between 0, never, and 1.
        exact: use what the validator knows to be allowed, where it does.
    """

    def __init__(
        self, writer: Writer, n: int, *, method: Method, max_checks: int, resample_below: float, exact: bool
    ) -> None:
        self._writer, self._n, self._method = writer, n, method
        self._max_checks, self._resample_below, self._exact = max_checks, resample_below, exact
        self._all: list[_Particle] = []
        self._resampled = 0
        self._invalid = self._cut = 0
        self._log_cut = -math.inf  # the sum of the weights that were cut

    def write(self) -> Generator[Question, Sequence[Answer], None]:
        """Write all particles to their ends."""
        yield from self._writer.fill()
        self._all = [_Particle(self._writer.start(), 0.0, i) for i in range(self._n)]
        step = 0
        while any(each.branch.end is None for each in self._all):
            yield from self._one_token()
            step += 1
            if any(each.branch.end is None for each in self._all):
                self._resample(step)

    def found(self, reason: Reason) -> ValidSamples:
        """The particles that became valid."""
        valid = [each for each in self._all if each.branch.valid]
        open_ = [each.log_weight for each in self._all if each.branch.end is None]
        total = log_sum([each.log_weight for each in valid])
        log_cut = float(np.logaddexp(self._log_cut, log_sum(open_)))
        return self._writer.samples(
            [(each.branch, each.log_weight) for each in valid],
            method=self._method,
            finish_reason=reason,
            runs=self._n,
            invalid=self._invalid,
            cut=self._cut + len(open_),
            log_p_valid=total - math.log(self._n),
            relative_error=self._relative_error(valid, total),
            p_cut=math.exp(log_cut - math.log(self._n)),
            bounds=Interval(0.0, 1.0),
        )

    def _one_token(self) -> Generator[Question, Sequence[Answer], None]:
        places = [i for i, each in enumerate(self._all) if each.branch.end is None]
        branches = [self._all[i].branch for i in places]
        draw = self._masked if self._exact else self._raced
        decided = yield from self._writer.next_of(
            branches, lambda at, reshaped: draw(branches[at], places[at], reshaped)
        )
        after, cut, log_cut, invalid = list(self._all), self._cut, self._log_cut, self._invalid
        for i, each in zip(places, decided, strict=True):
            branch, log_factor = (each, 0.0) if isinstance(each, Branch) else each
            log_weight = after[i].log_weight + log_factor
            if branch.cut:
                cut, log_cut = cut + 1, float(np.logaddexp(log_cut, log_weight))
            invalid += branch.end == "invalid"
            lost = branch.cut or branch.end == "invalid"
            after[i] = replace(after[i], branch=branch, log_weight=-math.inf if lost else log_weight)
        self._all, self._cut, self._log_cut, self._invalid = after, cut, log_cut, invalid

    def _masked(self, branch: Branch, stream: int, reshaped: Reshaped) -> tuple[Branch, float]:
        """A draw from the allowed tokens, and the log of their probability."""
        law, allowed = reshaped.final, self._writer.allowed(branch)
        assert allowed is not None
        try:
            masked = law.keep(allowed)
        except EmptySupport:
            return replace(branch, end="invalid"), -math.inf
        log_kept = min(0.0, masked.log_normalizer - law.log_normalizer)
        noise = Randomness(self._writer.seed, stream).at(len(branch.ids))
        token_id = multinomial(masked, branch.context, noise).token_id
        return self._writer.extended(branch, reshaped, token_id, stream), log_kept

    def _raced(self, branch: Branch, stream: int, reshaped: Reshaped) -> tuple[Branch, float]:
        """The first valid token of the race, and the log of its weight."""
        law, checker = reshaped.final, self._writer.checker
        noise = Randomness(self._writer.seed, stream).at(len(branch.ids))
        found = first_valid(
            race_order(law, noise),
            lambda token_id: math.exp(law.logprob(token_id)),
            lambda token_id: checker.judge(branch.ids, token_id) != "invalid",
            self._max_checks,
        )
        if found.token_id is None:
            if found.unchecked:
                return replace(branch, end="checks"), math.log(found.unchecked)
            return replace(branch, end="invalid"), -math.inf
        return self._writer.extended(branch, reshaped, found.token_id, stream), log_of(found.weight)

    def _resample(self, step: int) -> None:
        """Draw the particles anew where few of them carry the weight."""
        logs = [each.log_weight for each in self._all]
        total = log_sum(logs)
        if total == -math.inf or effective_size(logs) >= self._resample_below * self._n:
            return
        upto = np.cumsum(np.exp(np.array(logs) - total))
        words = Randomness(self._writer.seed).uniform(range(self._n), step=step, domain=ESTIMATORS)
        chosen = np.searchsorted(upto, np.sort(words) * upto[-1], side="right")
        mean = total - math.log(self._n)
        self._all = [replace(self._all[i], log_weight=mean) for i in chosen.tolist()]
        self._resampled += 1

    def _relative_error(self, valid: Sequence[_Particle], log_total: float) -> float:
        """The standard error of the estimated probability, divided by it, from the families of the particles.

        Source: Lee and Whiteley 2018, Variance estimation in the particle filter, for multinomial resampling. Without
        resampling it is the ordinary standard error of a mean.
        """
        if not valid or self._n == 1:
            return math.inf
        shares = np.zeros(self._n)
        for each in valid:
            shares[each.ancestor] += math.exp(each.log_weight - log_total)
        spread = (self._n / (self._n - 1)) ** (self._resampled + 1)
        return math.sqrt(max(0.0, 1 - spread * (1 - float(shares @ shares))))
