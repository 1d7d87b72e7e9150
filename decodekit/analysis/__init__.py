"""Language models as distributions, measured: what people claim about them, computed with its error."""

from decodekit.analysis.adding_floats import float_addition
from decodekit.analysis.answer_curves import Curves, curves, temperature_curve
from decodekit.analysis.chains import chain_curve
from decodekit.analysis.crossing import Crossing, crossings
from decodekit.analysis.heating import temperature_facts
from decodekit.analysis.importance import resampled, self_normalised
from decodekit.analysis.marginals import Marginal, SampledMarginal, marginal, sampled_marginal
from decodekit.analysis.most_likely import greedy_and_mode
from decodekit.analysis.passes import Disagreement, disagreement, passes_of
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
from decodekit.analysis.units import Task
from decodekit.analysis.voting import Vote, agreement, distinct_n, majority_vote, minimum_bayes_risk, token_f1

__all__ = [
    "ChainShift",
    "Crossing",
    "Curves",
    "Disagreement",
    "Divergence",
    "Estimate",
    "Marginal",
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
    "chain_curve",
    "chain_shift",
    "compare_tokenisations",
    "crossings",
    "curves",
    "disagreement",
    "distinct_n",
    "float_addition",
    "greedy_and_mode",
    "majority_vote",
    "marginal",
    "mean",
    "minimum_bayes_risk",
    "paired_difference",
    "pass_at_k",
    "pass_at_k_over",
    "passes_of",
    "recorded_shift",
    "resampled",
    "reward_frontier",
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
]
