"""Are a model's probabilities right? Reliability, a debiased calibration error, and proper scores with errors by text.

Always of the model's own, raw log-probabilities: what a chain left is a decision, no forecast. The forecast whose
calibration is shown is "the next token is the most likely one".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from decodekit.analysis.numbers.given_numbers import numbers
from decodekit.analysis.numbers.statistics import Estimate, mean
from decodekit.analysis.scores.forced import forced
from decodekit.distribution import Distribution
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import blocking, connect
from decodekit.model.prefix import Prefix
from decodekit.trace.trace import Trace
from decodekit.types import Floats

__all__ = ["Bin", "Calibration", "Forecast", "calibration", "forecasts_of_texts", "forecasts_of_traces"]

_SIMULATIONS = 200
_ROUNDING = 1e-9  # of a probability


class Forecast(NamedTuple):
    """A model's forecast of one token.

    Args:
        text: which text the token is of.
        confidence: the probability of the most likely token.
        hit: whether the token was this one.
        logprob: of the token, in nats.
        brier: the Brier score over all tokens, ``sum of p^2 - 2 p(x) + 1``, from 0 to 2; None where it is not known.
    """

    text: int
    confidence: float
    hit: bool
    logprob: float
    brier: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Forecasts of about the same confidence.

    Args:
        count: how many.
        confidence: their mean.
        accuracy: how often the most likely token came.
        error: the standard error of the accuracy, by text; NaN with one text.
        low, high: an interval of 95 % for the accuracy, by text; -inf and inf with one text.
    """

    count: int
    confidence: float
    accuracy: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well a model's probabilities fit.

    Args:
        bins: of the reliability diagram, by rising confidence.
        ece: the mean over bins of ``|accuracy - confidence|``, weighted by count. It is positive for a perfect model.
        ece_of_perfect: what it would be on average if each hit had the probability of its confidence: 200 simulations.
        ece_debiased: the difference; its mean is 0 for a perfect model.
        overconfidence: the mean of confidence minus hit, with its error by text.
        log_score: the mean of -logprob, nats a token; a proper score, of which less is better. Infinite, and without an
            interval, where a token came that had no probability.
        brier: the mean Brier score; None where distributions were not whole.
        top_brier: the mean of ``(confidence - hit)^2``.
    """

    bins: tuple[Bin, ...]
    ece: float
    ece_of_perfect: float
    ece_debiased: float
    overconfidence: Estimate
    log_score: Estimate
    brier: Estimate | None
    top_brier: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; infinities and NaN as texts."""
        return _plain(asdict(self))  # type: ignore[no-any-return]


def forecasts_of_texts(
    adapter: Adapter | AsyncAdapter, texts: Iterable[tuple[Prefix, Sequence[int]]]
) -> Iterator[Forecast]:
    """The forecasts of each token of given texts: its own distribution, nothing drawn.

    Args:
        adapter: a model that shows whole distributions, or heads with the token that came.
        texts: what each text follows, and its token ids.

    Raises:
        ParameterError: a text is no such pair.
        Undisclosed: the probability of the token that came, or the most likely one, is not shown.
        DecodekitError: as `decodekit.analysis.scores.forced.forced`.
    """
    kept = [_known_text(number, *text) for number, text in enumerate(texts)]
    model = blocking(adapter)
    connect(model)
    for text, at, dist in forced(model, kept):
        yield _forecast(text, dist, kept[text][1][at])


def forecasts_of_traces(traces: Iterable[Trace]) -> Iterator[Forecast]:
    """The forecasts of recorded runs; each sequence is a text. For texts that a model wrote itself.

    Raises:
        ParameterError: a step does not show the raw values (a server's processed list), or no leading token.
    """
    text = -1
    for trace in traces:
        numbers = {stream: text + 1 + i for i, (stream, _) in enumerate(trace.header.sequences)}
        text += len(numbers)
        size = trace.header.adapter.get("vocab_size")
        for step in trace.steps:
            answer, logprob = step.answer(size), step.choice.raw_logprob
            if step.raw.stage != "raw" or logprob is None or not step.raw.top:
                raise ParameterError(f"step {step.index} of stream {step.stream} does not show the model's raw values")
            if answer is not None:
                yield _forecast(numbers[step.stream], answer, step.token_id)
                continue
            mode, best = step.raw.top[0]
            yield Forecast(numbers[step.stream], math.exp(best), mode == step.token_id, logprob, None)


def calibration(
    forecasts: Iterable[Forecast], *, bins: int = 15, equal_mass: bool = True, seed: int = 0
) -> Calibration:
    """Measure forecasts.

    Args:
        forecasts: of all tokens.
        bins: how many.
        equal_mass: bins of equally many forecasts; otherwise of equal width.
        seed: of the simulated perfect model.

    Raises:
        ParameterError: no forecasts, one that is none, or no bins.
    """
    given, bins, seed = list(forecasts), whole(bins, "bins", 1, 2**31), whole(seed, "seed", 0, 2**64 - 1)
    if not given:
        raise ParameterError("calibration needs at least one forecast")
    texts = [each.text for each in given]
    confidence = numbers([each.confidence for each in given], "the confidence of the forecasts")
    impossible = np.flatnonzero(~((confidence >= 0) & (confidence <= 1 + _ROUNDING)))
    if len(impossible):
        at = int(impossible[0])
        raise ParameterError(f"forecast {at}: a confidence is a probability, from 0 to 1, not {given[at].confidence}")
    hits = np.array([each.hit for each in given], dtype=np.float64)
    places = _places(confidence, bins, equal_mass)
    chance = np.random.default_rng(seed)
    perfect = [_ece(places, confidence, chance.random(len(given)) < confidence) for _ in range(_SIMULATIONS)]
    ece, null = _ece(places, confidence, hits), float(np.mean(perfect))
    brier = [each.brier for each in given if each.brier is not None]
    return Calibration(
        bins=tuple(_bin(places == i, confidence, hits, texts) for i in np.unique(places)),
        ece=ece,
        ece_of_perfect=null,
        ece_debiased=ece - null,
        overconfidence=mean(confidence - hits, texts),
        log_score=_log_score(given, texts),
        brier=mean(brier, texts) if len(brier) == len(given) else None,
        top_brier=mean((confidence - hits) ** 2, texts),
    )


def _known_text(number: int, prefix: Prefix, ids: Sequence[int]) -> tuple[Prefix, tuple[int, ...]]:
    if not isinstance(prefix, Prefix):
        raise ParameterError(f"text {number} follows a Prefix, such as Prefix([0]), not {brief(prefix)}")
    return prefix, tuple(whole(each, f"text {number}: a token id", 0, 2**63 - 1) for each in ids)


def _log_score(given: Sequence[Forecast], texts: Sequence[int]) -> Estimate:
    """Infinite, and without an interval, where a token came that had no probability."""
    surprisals = -numbers([each.logprob for each in given], "the log-probabilities of the forecasts")
    if not (surprisals == math.inf).any():
        return mean(surprisals, texts)
    return Estimate(math.inf, math.nan, -math.inf, math.inf, len(given), len(set(texts)))


def _forecast(text: int, dist: Distribution, token_id: int) -> Forecast:
    mode, logprob = dist.mode, dist.logprob(token_id)
    brier = None
    if dist.hidden is None:
        p = np.exp(dist.logprobs)
        brier = float(p @ p) - 2 * math.exp(logprob) + 1
    return Forecast(text, math.exp(dist.logprob(mode)), mode == token_id, logprob, brier)


def _places(confidence: Floats, bins: int, equal_mass: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not equal_mass:
        return np.minimum((confidence * bins).astype(np.int64), bins - 1)
    ranks = np.empty(len(confidence), dtype=np.int64)
    ranks[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
    return ranks * bins // len(confidence)


def _ece(places: np.ndarray[Any, np.dtype[np.int64]], confidence: Floats, hits: Any) -> float:
    return float(np.abs(np.bincount(places, weights=hits - confidence)).sum()) / len(confidence)


def _bin(inside: Any, confidence: Floats, hits: Floats, texts: Sequence[int]) -> Bin:
    here = mean(hits[inside], [text for text, kept in zip(texts, inside, strict=True) if kept])
    return Bin(here.count, float(confidence[inside].mean()), here.value, here.error, here.low, here.high)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
