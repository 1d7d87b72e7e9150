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
from decodekit.analysis.text_entropy import SequenceEntropy, sequence_entropy, sequence_entropy_bounds
from decodekit.analysis.tilted_samples import best_of_k_reward, reward_frontier, tilted_samples
from decodekit.analysis.tilting import best_of_n_kl, best_of_n_law, tilted_law

__all__ = [
    "ChainShift",
    "Crossing",
    "Curves",
    "Disagreement",
    "Marginal",
    "SampledMarginal",
    "SequenceEntropy",
    "TextScore",
    "best_of_k_reward",
    "best_of_n_kl",
    "best_of_n_law",
    "chain_curve",
    "chain_shift",
    "compare_tokenisations",
    "crossings",
    "curves",
    "disagreement",
    "float_addition",
    "greedy_and_mode",
    "marginal",
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
    "temperature_curve",
    "temperature_facts",
    "tilted_law",
    "tilted_samples",
    "tokenisations",
]
