"""The tokenizer of a GGUF file without its model, for use with a model elsewhere."""

from __future__ import annotations

from decodekit.local.fingerprint import file_fingerprint
from decodekit.local.model_files import find_model
from decodekit_llamacpp.native import Model
from decodekit_llamacpp.tokenizer import LlamaCppTokenizer

__all__ = ["GGUFTokenizer", "read_vocabulary"]


class GGUFTokenizer(LlamaCppTokenizer):
    """A tokenizer that owns its file: close it."""

    def close(self) -> None:
        """Free the vocabulary. Closing twice does nothing."""
        self.model.close()


def read_vocabulary(source: str, vocab_size: int | None = None) -> GGUFTokenizer:
    """The tokenizer inside a model file; the weights are not loaded.

    Args:
        source: a path, or the name of a model package.
        vocab_size: what the caller expects; the file knows its own number of tokens.

    Raises:
        ModelNotFound: there is no such model, or llama.cpp cannot load it.
    """
    path = find_model(source)
    return GGUFTokenizer(Model(str(path), 0, vocab_only=True), file_fingerprint(path))
