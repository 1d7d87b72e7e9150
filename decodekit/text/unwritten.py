"""Letters without a token: refused by name, or logged where the tokenizer writes its unknown token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from decodekit.errors import ParameterError
from decodekit.log import get_logger

__all__ = ["missing_letters", "parts_between", "unused_token_error", "unwritable_error", "warn_of_unknown"]

_SHOWN = 60  # characters of a text in a message
_NAMED = 5  # letters in a message
_SUSPECTED = 20  # letters that are looked at more closely
_WAY = "leave it out, or use a model whose vocabulary has a token for each byte"


def parts_between(text: str, names: Iterable[str]) -> list[str]:
    """The parts of a text that are left when the tokens with these names are found in it as wholes, longest first."""
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    return list(filter(None, re.split("|".join(map(re.escape, longest_first)), text))) if longest_first else [text]


def missing_letters(parts: Sequence[str], cannot: Callable[[str], bool]) -> list[str]:
    """The letters because of which these parts cannot be written.

    One that has no token when it stands alone may have one inside a word (WordPiece). It is not missing if its part can
    be written as soon as the other such letters are taken out.

    Args:
        parts: texts without the names of tokens that are found as wholes.
        cannot: whether a text cannot be written.
    """
    suspects = list(islice(filter(cannot, dict.fromkeys("".join(parts))), _SUSPECTED))
    if len(suspects) < 2:
        return suspects

    def is_missing(letter: str) -> bool:
        others = str.maketrans("", "", "".join(suspects).replace(letter, ""))
        return any(cannot(part.translate(others)) for part in parts if letter in part)

    return list(islice(filter(is_missing, suspects), _NAMED))


def unwritable_error(text: str, letters: Sequence[str]) -> ParameterError:
    """The error for a text that a vocabulary cannot write.

    Args:
        text: the text.
        letters: those that are known to have no token.
    """
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


def _named(letters: Sequence[str]) -> str:
    return ", ".join(map(repr, letters))
