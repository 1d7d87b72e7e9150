"""What `sample_valid` returns: texts with their weights, and an estimate of the probability of a valid text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decodekit.distribution.disclosure import Interval
from decodekit.draw.weights import effective_size, log_sum
from decodekit.text.counted import counted
from decodekit.types import Floats

__all__ = ["Method", "Reason", "ValidSample", "ValidSamples"]

Method = Literal["rejection", "cars", "smc", "awrs"]
Reason = Literal["stop", "max_runs", "deadline", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class ValidSample:
    """A valid text.

    Args:
        text: without the end-of-text token.
        token_ids: all ids, the end-of-text token included.
        log_weight: the log of its weight, in nats; 0.0 where all samples are draws from the law itself.
        logprob: the log-probability of the ids under the chain, in nats; None where a tail made it unknown.
        finish: 'stop' after an end-of-text token, or 'complete' after the token that completed the text.
        streams: the stream of the draw of each token; see docs/RNG.md.
    """

    text: str
    token_ids: tuple[int, ...]
    log_weight: float
    logprob: float | None
    finish: Literal["stop", "complete"]
    streams: tuple[int, ...]

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return f"ValidSample({text!r}, {counted(len(self.token_ids), 'token')}, log_weight={self.log_weight:.4g})"


@dataclass(frozen=True, slots=True)
class ValidSamples:
    """The valid texts of one call. A text is valid here if it also ends within ``max_tokens``.

    Args:
        samples: the texts. They may be fewer than were asked for; ``finish_reason`` says why.
        method: how they were drawn.
        seed: of the call; a random one if none was given.
        finish_reason: 'stop' where nothing is missing ('smc' and 'awrs' return the particles that became valid, however
            few), or 'max_runs'; 'deadline', 'cancelled' or 'error' where the call ended early: short texts are too
            frequent then.
        runs: how many texts were begun, or the number of particles.
        invalid: how often one became invalid.
        cut: how often one was cut by a limit: ``max_tokens``, the model's context, ``max_checks``, or the end of the
            call. Those are no samples.
        log_p_valid: the log of the estimated probability that a text is valid, in nats; -inf for 0.
        relative_error: the standard error of that probability, divided by it; inf where it is 0.
        p_cut: the estimated probability that a text is cut. Without limits, the probability of a valid text would lie
            between ``p_valid`` and ``p_valid + p_cut``, up to the errors of both estimates.
        bounds: what is certain of the probability of a valid text, up to rounding.
        checks: how often the validator was asked.
        evaluated: how many distributions the model was asked for.
    """

    samples: tuple[ValidSample, ...]
    method: Method
    seed: int
    finish_reason: Reason
    runs: int
    invalid: int
    cut: int
    log_p_valid: float
    relative_error: float
    p_cut: float
    bounds: Interval
    checks: int
    evaluated: int

    @property
    def p_valid(self) -> float:
        """The estimated probability that a text is valid."""
        return math.exp(self.log_p_valid)

    @property
    def standard_error(self) -> float:
        """The standard error of `p_valid`."""
        return self.p_valid * self.relative_error if self.p_valid > 0 else math.nan

    @property
    def ess(self) -> float:
        """The effective sample size, ``(sum w)**2 / sum w**2``: how many equal weights would be worth as much."""
        return effective_size([each.log_weight for each in self.samples])

    @property
    def weights(self) -> Floats:
        """float64[n], the weights of the samples, with the sum 1."""
        logs = np.array([each.log_weight for each in self.samples])
        return np.exp(logs - log_sum(logs)) if len(logs) else logs

    def mean(self, function: Callable[[ValidSample], float]) -> float:
        """The weighted mean of a function of a sample: an estimate of its mean over p(text | valid); NaN of none."""
        if not self.samples:
            return math.nan
        return float(np.dot(self.weights, [function(each) for each in self.samples]))
