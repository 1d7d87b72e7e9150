"""Text that cannot be encoded in UTF-8 is refused at the input, before it reaches a record or a backend."""

from __future__ import annotations

from decodekit.errors import ParameterError

__all__ = ["utf8"]


def utf8(text: str, what: str) -> bytes:
    """The UTF-8 bytes of a text.

    Args:
        text: the text; a Python string can hold half of a surrogate pair, which has no bytes.
        what: names the field in the error.

    Raises:
        ParameterError: it holds half of a surrogate pair.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{what} is not valid Unicode text: {error.reason} at character {error.start} of {text[:60]!r}"
        ) from None
