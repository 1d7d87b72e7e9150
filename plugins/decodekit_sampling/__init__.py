"""Processors and samplers of the field. One idea a file; each is a `decodekit.Plugin`."""

from decodekit_sampling.adaptive_p import AdaptiveP
from decodekit_sampling.bias import LogitBias
from decodekit_sampling.cutoffs import EpsilonCutoff, EtaCutoff
from decodekit_sampling.dry import Dry
from decodekit_sampling.dynamic_temperature import DynamicTemperature
from decodekit_sampling.forced import Forced
from decodekit_sampling.healing import TokenHealing, cut_prompt
from decodekit_sampling.lengths import ExponentialLengthDecay, ForcedBos, ForcedEos, MaxLength, MinLength, MinNewTokens
from decodekit_sampling.llamacpp_dist import LlamaCppDist
from decodekit_sampling.min_p import MinP
from decodekit_sampling.mirostat import Mirostat, MirostatV2
from decodekit_sampling.ngrams import EncoderNoRepeatNgram, NoRepeatNgram
from decodekit_sampling.p_less import PLess, PLessNorm
from decodekit_sampling.penalties import EncoderRepetitionPenalty, FrequencyPenalty, PresencePenalty, RepetitionPenalty
from decodekit_sampling.quadratic import Quadratic
from decodekit_sampling.sequences import BadWords, SequenceBias
from decodekit_sampling.skew import Skew
from decodekit_sampling.temperature import Temperature
from decodekit_sampling.tfs import Tfs
from decodekit_sampling.thinking import ThinkingBudget
from decodekit_sampling.token_sets import AllowedTokens, BeginSuppressedTokens, SuppressedTokens
from decodekit_sampling.top_a import TopA
from decodekit_sampling.top_h import TopH
from decodekit_sampling.top_k import TopK
from decodekit_sampling.top_n_sigma import TopNSigma
from decodekit_sampling.top_p import TopP
from decodekit_sampling.typical_p import TypicalP
from decodekit_sampling.vllm_bad_words import VllmBadWords
from decodekit_sampling.xtc import XTC, LlamaCppXTC, XTCExpected

__all__ = [
    "XTC",
    "AdaptiveP",
    "AllowedTokens",
    "BadWords",
    "BeginSuppressedTokens",
    "Dry",
    "DynamicTemperature",
    "EncoderNoRepeatNgram",
    "EncoderRepetitionPenalty",
    "EpsilonCutoff",
    "EtaCutoff",
    "ExponentialLengthDecay",
    "Forced",
    "ForcedBos",
    "ForcedEos",
    "FrequencyPenalty",
    "LlamaCppDist",
    "LlamaCppXTC",
    "LogitBias",
    "MaxLength",
    "MinLength",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "MirostatV2",
    "NoRepeatNgram",
    "PLess",
    "PLessNorm",
    "PresencePenalty",
    "Quadratic",
    "RepetitionPenalty",
    "SequenceBias",
    "Skew",
    "SuppressedTokens",
    "Temperature",
    "Tfs",
    "ThinkingBudget",
    "TokenHealing",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "TypicalP",
    "VllmBadWords",
    "XTCExpected",
    "cut_prompt",
]
