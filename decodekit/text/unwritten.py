"""Letters without a token: refused by name, or logged where the tokenizer writes its unknown token."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from decodekit.errors import ParameterError
from decodekit.log import get_logger

__all__ = ["unused_token_error", "unwritable_error", "warn_of_unknown"]

_SHOWN = 60  # characters of a text in a message
_NAMED = 5  # letters in a message
_WAY = "leave it out, or use a model whose vocabulary has a token for each byte"


def unwritable_error(text: str, cannot: Callable[[str], bool]) -> ParameterError:
    """The error for a text that a vocabulary cannot write. It names the letters.

    Args:
        text: the text.
        cannot: whether one letter alone cannot be written.
    """
    letters = list(islice(filter(cannot, dict.fromkeys(text)), _NAMED))
    if not letters:
        return ParameterError(f"this vocabulary has no tokens for a part of the text {text[:_SHOWN]!r}; {_WAY}")
    return ParameterError(f"this vocabulary has no token for {_named(letters)} in the text {text[:_SHOWN]!r}; {_WAY}")


def unused_token_error(name: str, text: str) -> ParameterError:
    """The error for a text whose tokens hold one that only fills the vocabulary.

    Args:
        name: the token, as the vocabulary writes it.
        text: the text.
    """
    return ParameterError(
        f"this vocabulary writes a part of the text {text[:_SHOWN]!r} as {name!r}, an unused token that the model "
        "was not trained on; change this part of the text"
    )


def warn_of_unknown(letters: Iterable[str]) -> None:
    """Warn that a conversation holds the model's own 'unknown' token in place of letters.

    Args:
        letters: those that are known to have no token.
    """
    get_logger().warning(
        "the vocabulary has no tokens for a part of the conversation; the model sees 'unknown' there",
        letters=_named(list(islice(dict.fromkeys("".join(letters)), _NAMED))),
    )


def _named(letters: list[str]) -> str:
    return ", ".join(map(repr, letters))
