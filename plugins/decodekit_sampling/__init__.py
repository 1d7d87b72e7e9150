"""The processors of the field: each is a `decodekit.Plugin`, one idea a file."""

from decodekit_sampling.bias import LogitBias
from decodekit_sampling.dry import Dry
from decodekit_sampling.healing import TokenHealing, cut_prompt
from decodekit_sampling.lengths import ExponentialLengthDecay, ForcedBos, ForcedEos, MaxLength, MinLength, MinNewTokens
from decodekit_sampling.ngrams import EncoderNoRepeatNgram, NoRepeatNgram
from decodekit_sampling.penalties import (
    EncoderRepetitionPenalty,
    FrequencyPenalty,
    PresencePenalty,
    RepetitionPenalty,
)
from decodekit_sampling.sequences import BadWords, SequenceBias
from decodekit_sampling.temperature import Temperature
from decodekit_sampling.thinking import ThinkingBudget
from decodekit_sampling.token_sets import AllowedTokens, BeginSuppressedTokens, SuppressedTokens
from decodekit_sampling.truncation import MinP, TopK, TopP

__all__ = [
    "AllowedTokens",
    "BadWords",
    "BeginSuppressedTokens",
    "Dry",
    "EncoderNoRepeatNgram",
    "EncoderRepetitionPenalty",
    "ExponentialLengthDecay",
    "ForcedBos",
    "ForcedEos",
    "FrequencyPenalty",
    "LogitBias",
    "MaxLength",
    "MinLength",
    "MinNewTokens",
    "MinP",
    "NoRepeatNgram",
    "PresencePenalty",
    "RepetitionPenalty",
    "SequenceBias",
    "SuppressedTokens",
    "Temperature",
    "ThinkingBudget",
    "TokenHealing",
    "TopK",
    "TopP",
    "cut_prompt",
]
