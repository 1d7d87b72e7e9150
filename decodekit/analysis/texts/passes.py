"""A model whose distribution is itself random: how much of its entropy is that of one pass, and how much is between
passes.

Let p be the distribution of a pass. A token of such a model has the mixture E[p] as its law, and H(E[p]) = E[H(p)] + I:
the mean entropy of a pass, plus the mutual information between the token and the pass, which is the mean divergence of
a pass from the mixture. I is 0 only where all passes agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from decodekit.analysis.numbers.estimators import jackknifed
from decodekit.analysis.numbers.statistics import Estimate, mean
from decodekit.analysis.texts.law import AnyModel
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief
from decodekit.model.asking import blocking, connect
from decodekit.model.stored import ask_anew, computed_apart
from decodekit.session.prompts import Prompt, as_prefix
from decodekit.types import Floats

__all__ = ["Disagreement", "disagreement", "passes_of"]

MOST_PASSES = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """The entropy of the next token of a stochastic model, in its two parts. In nats.

    Args:
        mixture: float64[V], the mean of the passes.
        total: H(E[p]), corrected by the jackknife: the entropy of a mean of m passes is too low, by about
            (number of tokens that vary) / 2m at most, to first order.
        mean_entropy: E[H(p)]. Unbiased.
        information: I = total - mean_entropy, corrected likewise. The error is that of the difference. Where passes
            hardly differ, chance may put it a little below 0.
        plug_in: I with the entropy of the mean of these passes: not corrected, too low on average, and never below 0.
        distance: the mean total variation of a pass from the mean of the others; 0 where all agree.
        passes: how many.
    """

    mixture: Floats
    total: Estimate
    mean_entropy: Estimate
    information: Estimate
    plug_in: float
    distance: float
    passes: int


def passes_of(model: AnyModel, prompt: Prompt, passes: int) -> list[Distribution]:
    """The distributions of so many passes for the same prompt.

    An adapter with a method ``mixture(prefix, passes)`` gives them in its result's ``each``, float64[passes, V], each
    with new noise, as that of torch does for a stochastic model. Any other is asked so many times, and told before each
    to forget what it was answered, if it has a method ``forget``: what a server answers twice need not be the same.

    Args:
        model: the adapter.
        prompt: as for `Session.generate`.
        passes: from 2 on.

    Raises:
        ParameterError: a number out of range; an adapter that says it is stochastic, gives the same noise for the same
            prompt, and has no ``mixture``; or one that repeats a stored answer, which is no second pass.
        DecodekitError: the adapter's answer.
    """
    adapter, count = blocking(model), whole(passes, "passes", 2, MOST_PASSES)
    connect(adapter)
    prefix = as_prefix(adapter, prompt)
    if adapter.info.stochastic and callable(mixture := getattr(adapter, "mixture", None)):
        with np.errstate(divide="ignore"):
            return [Distribution.dense(np.log(row), origin="logprobs") for row in mixture(prefix, count).each]
    if adapter.info.stochastic and adapter.info.deterministic:
        raise ParameterError(
            f"adapter {adapter.info.name!r} is stochastic with a fixed seed and has no method mixture(prefix, passes): "
            "the same prompt always has the same noise; give the rows of several seeds to disagreement()"
        )
    rows: list[Distribution] = []
    for _ in range(count):
        answer, stored = ask_anew(adapter, prefix, ALL)
        rows.append(answer)
        if len(rows) > 1 and (stored or not computed_apart(rows[-2:])):
            raise ParameterError(
                f"adapter {adapter.info.name!r} repeats its stored answer to the same prompt, and one pass agrees with "
                "itself; give disagreement() the answers of several new adapters"
            )
    return rows


def disagreement(rows: Sequence[Distribution]) -> Disagreement:
    """The parts of the entropy, from the distributions of independent passes for one prompt.

    Args:
        rows: at least 2, each wholly disclosed.

    Raises:
        Undisclosed: a distribution has a hidden tail.
        ParameterError: fewer than two, or of different vocabularies.
    """
    if len(rows) < 2:
        raise ParameterError("the passes of a model are compared with one another: give at least 2")
    for row in rows:
        if not isinstance(row, Distribution):
            raise ParameterError(f"a pass is a Distribution, not {brief(row)}")
        row.require_complete("the mixture of several passes")
    size = rows[0].vocab_size
    if size is None or any(row.vocab_size != size for row in rows):
        raise ParameterError("the passes are not all of one vocabulary of known size")
    shares = np.stack([np.exp(row.logprobs_of(np.arange(size))) for row in rows])
    entropies, m = np.array([_entropy(row) for row in shares]), len(rows)
    mixture = shares.mean(axis=0)
    whole_total, within = _entropy(mixture), float(entropies.mean())
    others = np.array([_entropy(_without(mixture, row, m)) for row in shares])
    withins = (m * within - entropies) / (m - 1)
    distance = float(np.mean([0.5 * np.abs(row - _without(mixture, row, m)).sum() for row in shares]))
    return Disagreement(
        mixture,
        jackknifed(whole_total, others, corrected=True),
        mean(entropies),
        _information(whole_total - within, others - withins),
        max(0.0, whole_total - within),
        distance,
        m,
    )


def _information(plug_in: float, left_out: Floats) -> Estimate:
    """Corrected; of two passes without an error, because one pass alone has no information by its definition."""
    found = jackknifed(plug_in, left_out, corrected=True)
    return found if len(left_out) > 2 else replace(found, error=math.nan, low=-math.inf, high=math.inf)


def _without(mixture: Floats, row: Floats, m: int) -> Floats:
    """The mean of all passes but one."""
    return np.maximum(0.0, mixture + (mixture - row) / (m - 1))


def _entropy(shares: Floats) -> float:
    alive = shares[shares > 0]
    return -math.fsum((alive * np.log(alive)).tolist())
