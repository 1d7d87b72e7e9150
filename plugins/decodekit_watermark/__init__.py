"""Watermarks: processors and a sampler that mark a text with a key, each with a detector (``detect``)."""

from decodekit_watermark.gumbel import GumbelWatermark
from decodekit_watermark.kgw import KGW
from decodekit_watermark.synthid import SynthID
from decodekit_watermark.unigram import Unigram

__all__ = ["KGW", "GumbelWatermark", "SynthID", "Unigram"]
