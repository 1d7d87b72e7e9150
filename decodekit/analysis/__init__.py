"""Language models as distributions, measured: what people claim about them, computed with its error."""

from decodekit.analysis.answer_curves import Curves, curves, temperature_curve
from decodekit.analysis.chains import chain_curve
from decodekit.analysis.crossing import Crossing, crossings
from decodekit.analysis.scored import TextScore
from decodekit.analysis.scoring import score, score_many, score_pairs

__all__ = [
    "Crossing",
    "Curves",
    "TextScore",
    "chain_curve",
    "crossings",
    "curves",
    "score",
    "score_many",
    "score_pairs",
    "temperature_curve",
]
