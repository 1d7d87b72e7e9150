"""Processors and samplers of the field. One idea a file; each is a `decodekit.Plugin`."""

from decodekit_sampling.adaptive_p import AdaptiveP
from decodekit_sampling.bias import LogitBias
from decodekit_sampling.forced import Forced
from decodekit_sampling.llamacpp_dist import LlamaCppDist
from decodekit_sampling.mirostat import Mirostat, MirostatV2
from decodekit_sampling.penalties import FrequencyPenalty, PresencePenalty, RepetitionPenalty
from decodekit_sampling.skew import Skew
from decodekit_sampling.temperature import Temperature
from decodekit_sampling.truncation import MinP, TopK, TopP
from decodekit_sampling.xtc import XTC, LlamaCppXTC, XTCExpected

__all__ = [
    "XTC",
    "AdaptiveP",
    "Forced",
    "FrequencyPenalty",
    "LlamaCppDist",
    "LlamaCppXTC",
    "LogitBias",
    "MinP",
    "Mirostat",
    "MirostatV2",
    "PresencePenalty",
    "RepetitionPenalty",
    "Skew",
    "Temperature",
    "TopK",
    "TopP",
    "XTCExpected",
]
