"""The tokenizer that the user names: a file that defines the tokens, without the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError, brief
from decodekit.plugin.registry import define_group

__all__ = ["named_tokenizer"]

_TOKENIZERS = define_group("tokenizers", "tokenizer")
"""Functions of a name given by the user and a number of tokens or None, which return a `Tokenizer`."""


def named_tokenizer(given: Any, vocab_size: int | None) -> tuple[Any, Any]:
    """The tokenizer, and the object to close with it, or None.

    Args:
        given: a folder with a ``tokenizer.json``, or that file, which 'huggingface' of the group of tokenizers reads;
            another name is a model for 'gguf' of that group; anything else is a `Tokenizer`, or None for none.
        vocab_size: the number of tokens at the server; None where it does not say.

    Raises:
        ConfigError: it is not a tokenizer, has another vocabulary, or a library is missing.
        ModelNotFound: there is no such model.
    """
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    if not isinstance(given, str):
        if given is not None and not (hasattr(given, "encode") and isinstance(getattr(given, "vocab_size", None), int)):
            raise ConfigError(f"tokenizer: {brief(given)} is no Tokenizer, and neither a name nor the path of a model")
        if given is not None and vocab_size is not None and given.vocab_size > vocab_size:
            raise _another_vocabulary("the tokenizer", given.vocab_size, vocab_size)
        return given, None
    path = Path(given).expanduser()
    read, _ = _TOKENIZERS.load("huggingface" if path.is_dir() or path.suffix == ".json" else "gguf")
    made: Any = read(given, vocab_size)
    owned = made if hasattr(made, "close") else None
    if vocab_size not in (None, made.vocab_size):
        if owned is not None:
            owned.close()
        raise _another_vocabulary(f"tokenizer {given!r}", made.vocab_size, vocab_size)
    return made, owned


def _another_vocabulary(what: str, size: int, there: int | None) -> ConfigError:
    return ConfigError(f"{what} has {size} tokens and the server {there}: they do not belong together")
