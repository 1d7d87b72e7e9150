"""Language models as distributions, measured: what people claim about them, computed with its error."""

from decodekit.analysis.answers.chains import chain_curve
from decodekit.analysis.answers.crossing import Crossing, crossings
from decodekit.analysis.answers.curves import Curves, curves, temperature_curve
from decodekit.analysis.answers.heating import temperature_facts
from decodekit.analysis.numbers.adding_floats import float_addition
from decodekit.analysis.numbers.importance import resampled, self_normalised
from decodekit.analysis.numbers.statistics import Estimate, mean, paired_difference, pass_at_k, pass_at_k_over
from decodekit.analysis.sampler_checks.recorded_draws import recorded_draws
from decodekit.analysis.sampler_checks.trial import try_sampler
from decodekit.analysis.sampler_checks.wagers import Honesty, honesty
from decodekit.analysis.scores.calibrating import Calibration, calibration, forecasts_of_texts, forecasts_of_traces
from decodekit.analysis.scores.scored import TextScore
from decodekit.analysis.scores.scoring import score, score_many, score_pairs
from decodekit.analysis.sweeps.result import Divergence, Sweep
from decodekit.analysis.sweeps.sweeping import sweep
from decodekit.analysis.sweeps.units import Task
from decodekit.analysis.texts.entropy import SequenceEntropy, sequence_entropy, sequence_entropy_bounds
from decodekit.analysis.texts.marginals import Marginal, SampledMarginal, marginal, sampled_marginal
from decodekit.analysis.texts.most_likely import greedy_and_mode
from decodekit.analysis.texts.passes import Disagreement, disagreement, passes_of
from decodekit.analysis.texts.shifting import ChainShift, chain_shift, recorded_shift
from decodekit.analysis.texts.splitting import compare_tokenisations, tokenisations
from decodekit.analysis.texts.tilted_samples import best_of_k_reward, reward_frontier, tilted_samples
from decodekit.analysis.texts.tilting import best_of_n_kl, best_of_n_law, tilted_law
from decodekit.analysis.texts.voting import Vote, agreement, distinct_n, majority_vote, minimum_bayes_risk, token_f1
from decodekit.analysis.trainers.batches import trl_batch, trl_rollouts, verl_batch
from decodekit.analysis.trainers.columns import read_rollouts
from decodekit.analysis.trainers.engine_mismatch import Mismatch, mismatch
from decodekit.analysis.trainers.rolling_out import Rollouts, rollouts
from decodekit.analysis.trainers.rows import Rollout, rollouts_of

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
