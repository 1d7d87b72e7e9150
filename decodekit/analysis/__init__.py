"""Language models as distributions, measured: what people claim about them, computed with its error."""

from decodekit.analysis.answer_curves import Curves, curves, temperature_curve
from decodekit.analysis.calibrating import Calibration, calibration, forecasts_of_texts, forecasts_of_traces
from decodekit.analysis.chains import chain_curve
from decodekit.analysis.crossing import Crossing, crossings
from decodekit.analysis.engine_mismatch import Mismatch, mismatch
from decodekit.analysis.recorded_draws import recorded_draws
from decodekit.analysis.rolling_out import Rollouts, rollouts
from decodekit.analysis.rollout_columns import read_rollouts
from decodekit.analysis.rollout_rows import Rollout, rollouts_of
from decodekit.analysis.sampler_trial import try_sampler
from decodekit.analysis.scored import TextScore
from decodekit.analysis.scoring import score, score_many, score_pairs
from decodekit.analysis.trainer_batches import trl_batch, trl_rollouts, verl_batch
from decodekit.analysis.wagers import Honesty, honesty

__all__ = [
    "Calibration",
    "Crossing",
    "Curves",
    "Honesty",
    "Mismatch",
    "Rollout",
    "Rollouts",
    "TextScore",
    "calibration",
    "chain_curve",
    "crossings",
    "curves",
    "forecasts_of_texts",
    "forecasts_of_traces",
    "honesty",
    "mismatch",
    "read_rollouts",
    "recorded_draws",
    "rollouts",
    "rollouts_of",
    "score",
    "score_many",
    "score_pairs",
    "temperature_curve",
    "trl_batch",
    "trl_rollouts",
    "try_sampler",
    "verl_batch",
]
