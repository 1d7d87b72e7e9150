"""For authors of plugins: small exact models, and the contracts as functions.

The checks are plain asserts and need no test framework; each raises `AssertionError` with what was expected.
"""

from decodekit.testing.adapters import NGramAdapter, TableAdapter
from decodekit.testing.check_adapter import check_adapter
from decodekit.testing.check_guesser import check_guesser
from decodekit.testing.check_processor import check_processor
from decodekit.testing.check_sampler import check_sampler
from decodekit.testing.check_sink import check_sink
from decodekit.testing.check_tokenizer import check_tokenizer
from decodekit.testing.tokenizers import BytesTokenizer, PiecesTokenizer

__all__ = [
    "BytesTokenizer",
    "NGramAdapter",
    "PiecesTokenizer",
    "TableAdapter",
    "check_adapter",
    "check_guesser",
    "check_processor",
    "check_sampler",
    "check_sink",
    "check_tokenizer",
]
