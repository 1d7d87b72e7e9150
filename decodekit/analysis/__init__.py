"""Language models as distributions, measured: what people claim about them, computed with its error."""

from decodekit.analysis.adding_floats import float_addition
from decodekit.analysis.answer_curves import Curves, curves, temperature_curve
from decodekit.analysis.calibrating import Calibration, calibration, forecasts_of_texts, forecasts_of_traces
from decodekit.analysis.chains import chain_curve
from decodekit.analysis.crossing import Crossing, crossings
from decodekit.analysis.engine_mismatch import Mismatch, mismatch
from decodekit.analysis.heating import temperature_facts
from decodekit.analysis.importance import resampled, self_normalised
from decodekit.analysis.marginals import Marginal, SampledMarginal, marginal, sampled_marginal
from decodekit.analysis.most_likely import greedy_and_mode
from decodekit.analysis.passes import Disagreement, disagreement, passes_of
from decodekit.analysis.recorded_draws import recorded_draws
from decodekit.analysis.rolling_out import Rollouts, rollouts
from decodekit.analysis.rollout_columns import read_rollouts
from decodekit.analysis.rollout_rows import Rollout, rollouts_of
from decodekit.analysis.sampler_trial import try_sampler
from decodekit.analysis.scored import TextScore
from decodekit.analysis.scoring import score, score_many, score_pairs
from decodekit.analysis.shifting import ChainShift, chain_shift, recorded_shift
from decodekit.analysis.splitting import compare_tokenisations, tokenisations
from decodekit.analysis.statistics import Estimate, mean, paired_difference, pass_at_k, pass_at_k_over
from decodekit.analysis.sweep_result import Divergence, Sweep
from decodekit.analysis.sweeping import sweep
from decodekit.analysis.text_entropy import SequenceEntropy, sequence_entropy, sequence_entropy_bounds
from decodekit.analysis.tilted_samples import best_of_k_reward, reward_frontier, tilted_samples
from decodekit.analysis.tilting import best_of_n_kl, best_of_n_law, tilted_law
from decodekit.analysis.trainer_batches import trl_batch, trl_rollouts, verl_batch
from decodekit.analysis.units import Task
from decodekit.analysis.voting import Vote, agreement, distinct_n, majority_vote, minimum_bayes_risk, token_f1
from decodekit.analysis.wagers import Honesty, honesty

__all__ = [
    "Calibration",
    "ChainShift",
    "Crossing",
    "Curves",
    "Disagreement",
    "Divergence",
    "Estimate",
    "Honesty",
    "Marginal",
    "Mismatch",
    "Rollout",
    "Rollouts",
    "SampledMarginal",
    "SequenceEntropy",
    "Sweep",
    "Task",
    "TextScore",
    "Vote",
    "agreement",
    "best_of_k_reward",
    "best_of_n_kl",
    "best_of_n_law",
    "calibration",
    "chain_curve",
    "chain_shift",
    "compare_tokenisations",
    "crossings",
    "curves",
    "disagreement",
    "distinct_n",
    "float_addition",
    "forecasts_of_texts",
    "forecasts_of_traces",
    "greedy_and_mode",
    "honesty",
    "majority_vote",
    "marginal",
    "mean",
    "minimum_bayes_risk",
    "mismatch",
    "paired_difference",
    "pass_at_k",
    "pass_at_k_over",
    "passes_of",
    "read_rollouts",
    "recorded_draws",
    "recorded_shift",
    "resampled",
    "reward_frontier",
    "rollouts",
    "rollouts_of",
    "sampled_marginal",
    "score",
    "score_many",
    "score_pairs",
    "self_normalised",
    "sequence_entropy",
    "sequence_entropy_bounds",
    "sweep",
    "temperature_curve",
    "temperature_facts",
    "tilted_law",
    "tilted_samples",
    "token_f1",
    "tokenisations",
    "trl_batch",
    "trl_rollouts",
    "try_sampler",
    "verl_batch",
]
