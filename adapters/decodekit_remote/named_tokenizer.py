"""The tokenizer that the user names: a file that says what the tokens are, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError
from decodekit.plugin import registry

__all__ = ["named_tokenizer"]


def named_tokenizer(given: Any, vocab_size: int | None) -> tuple[Any, Any]:
    """The tokenizer, and what is to be closed with it, or None.

    Args:
        given: a folder with a ``tokenizer.json``, or that file; another name is a model as the llamacpp adapter has
            them; anything else is a `Tokenizer`, or None for none.
        vocab_size: the number of tokens at the server; None where it does not say.

    Raises:
        ConfigError: it is no tokenizer, it is that of another vocabulary, or a library is missing.
        ModelNotFound: there is no such model.
    """
    if not isinstance(given, str):
        if given is not None and vocab_size is not None and given.vocab_size > vocab_size:
            raise _stranger("the tokenizer", given.vocab_size, vocab_size)
        return given, None
    path = Path(given).expanduser()
    if path.is_dir() or path.suffix == ".json":
        from decodekit.text.huggingface import read_tokenizer  # the library behind it is optional

        return read_tokenizer(path, vocab_size), None
    made = registry.adapter("llamacpp", model=given, n_ctx=64, n_threads=1, max_sequences=1, rows_per_forward=1)
    size = made.tokenizer.vocab_size
    if vocab_size not in (None, size):
        made.close()
        raise _stranger(f"tokenizer {given!r}", size, vocab_size)
    return made.tokenizer, made


def _stranger(what: str, size: int, there: int | None) -> ConfigError:
    return ConfigError(f"{what} has {size} tokens and the server {there}: they do not belong together")
