"""The user's list of processors and its sampler."""

from decodekit.chain.chain import Chain
from decodekit.chain.entry import Entry

__all__ = ["Chain", "Entry"]
