"""Many sequences that depend on one another: texts from p(text | valid)."""

from decodekit.search.sampling import asample_valid, sample_valid
from decodekit.search.valid_samples import ValidSample, ValidSamples
from decodekit.search.validator import Validator

__all__ = ["ValidSample", "ValidSamples", "Validator", "asample_valid", "sample_valid"]
