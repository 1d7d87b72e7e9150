"""The common processors: temperature, truncations, penalties, bias. One idea a file; each is a `decodekit.Plugin`."""

from decodekit_sampling.bias import LogitBias
from decodekit_sampling.penalties import FrequencyPenalty, PresencePenalty, RepetitionPenalty
from decodekit_sampling.temperature import Temperature
from decodekit_sampling.truncation import MinP, TopK, TopP

__all__ = [
    "FrequencyPenalty",
    "LogitBias",
    "MinP",
    "PresencePenalty",
    "RepetitionPenalty",
    "Temperature",
    "TopK",
    "TopP",
]
