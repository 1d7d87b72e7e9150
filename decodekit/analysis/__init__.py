"""Language models as distributions, measured: what people claim about them, computed with its error."""

from decodekit.analysis.answer_curves import Curves, curves, temperature_curve
from decodekit.analysis.chains import chain_curve
from decodekit.analysis.crossing import Crossing, crossings
from decodekit.analysis.scored import TextScore
from decodekit.analysis.scoring import score, score_many, score_pairs
from decodekit.analysis.statistics import Estimate, mean, paired_difference, pass_at_k, pass_at_k_over
from decodekit.analysis.sweep_result import Divergence, Sweep
from decodekit.analysis.sweeping import sweep
from decodekit.analysis.units import Task
from decodekit.analysis.voting import Vote, agreement, distinct_n, majority_vote, minimum_bayes_risk, token_f1

__all__ = [
    "Crossing",
    "Curves",
    "Divergence",
    "Estimate",
    "Sweep",
    "Task",
    "TextScore",
    "Vote",
    "agreement",
    "chain_curve",
    "crossings",
    "curves",
    "distinct_n",
    "majority_vote",
    "mean",
    "minimum_bayes_risk",
    "paired_difference",
    "pass_at_k",
    "pass_at_k_over",
    "score",
    "score_many",
    "score_pairs",
    "sweep",
    "temperature_curve",
    "token_f1",
]
