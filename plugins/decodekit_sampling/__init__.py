"""The common processors: temperature, truncations, penalties, bias. One idea a file; each is a `decodekit.Plugin`."""

from decodekit_sampling.bias import LogitBias
from decodekit_sampling.cutoffs import EpsilonCutoff, EtaCutoff
from decodekit_sampling.dynamic_temperature import DynamicTemperature
from decodekit_sampling.min_p import MinP
from decodekit_sampling.p_less import PLess, PLessNorm
from decodekit_sampling.penalties import FrequencyPenalty, PresencePenalty, RepetitionPenalty
from decodekit_sampling.quadratic import Quadratic
from decodekit_sampling.temperature import Temperature
from decodekit_sampling.tfs import Tfs
from decodekit_sampling.top_a import TopA
from decodekit_sampling.top_h import TopH
from decodekit_sampling.top_k import TopK
from decodekit_sampling.top_n_sigma import TopNSigma
from decodekit_sampling.top_p import TopP
from decodekit_sampling.typical_p import TypicalP

__all__ = [
    "DynamicTemperature",
    "EpsilonCutoff",
    "EtaCutoff",
    "FrequencyPenalty",
    "LogitBias",
    "MinP",
    "PLess",
    "PLessNorm",
    "PresencePenalty",
    "Quadratic",
    "RepetitionPenalty",
    "Temperature",
    "Tfs",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "TypicalP",
]
