"""Removes the API key from all output: messages, names, logs, in any encoding that a server may use.

A server may repeat a key that it refuses: unchanged, escaped, encoded, or shortened. After `Redaction.text` no eight
consecutive characters of the key remain, in every encoding that is known here. A server that means to hide the key can
still do so, for example by an encoding of its own.
"""

from __future__ import annotations

import base64
import codecs
import html
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from weakref import WeakSet

from pydantic import SecretStr

from decodekit.log import get_logger

__all__ = ["Redaction"]

Error = TypeVar("Error", bound=BaseException)

_RUN = 8  # this many consecutive characters of the key are removed; a shorter key as a whole
_MARK = "[key]"
_LAYERS = 4  # of nested escapes
_ESCAPE = re.compile(
    r"\\+u([0-9a-fA-F]{4})|\\+u\{([0-9a-fA-F]{1,6})\}|\\+x([0-9a-fA-F]{2})|%([0-9a-fA-F]{2})|=([0-9a-fA-F]{2})"
    r"|\\+U([0-9a-fA-F]{8})|\\+([0-3][0-7]{2})|(&#?[0-9a-zA-Z]{1,12};)|\\+([/\"'\\])"
)
_Letters = list[tuple[str, int, int]]  # each with the place in the text it was read from


class Redaction:
    """Removes one key from texts and errors.

    Args:
        key: the key; None when there is none, and nothing is changed.
    """

    def __init__(self, key: SecretStr | None) -> None:
        self._runs: dict[int, set[str]] = {}
        if key is not None:
            for run in _runs(key.get_secret_value()):
                self._runs.setdefault(len(run), set()).add(run.lower())
            _http_logs.clean_with(self)

    def text(self, text: str) -> str:
        """The text with ``[key]`` where it had the key, or a part of it, in any of the encodings."""
        if not self._runs:
            return text
        letters: _Letters = [(letter, at, at + 1) for at, letter in enumerate(text)]
        found: list[tuple[int, int]] = []
        for _ in range(_LAYERS):
            found += self._found(letters)
            plainer = _unescaped(letters)
            if plainer == letters:
                break
            letters = plainer
        return _marked(text, found)

    def error(self, error: Error) -> Error:
        """The same error, without the key in its texts, and without chained exceptions that may hold it."""
        error.__cause__ = error.__context__ = None
        error.__suppress_context__ = True
        error.args = tuple(self.text(each) if isinstance(each, str) else each for each in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self.text(value))
        return error

    def log(self, level: str, event: str, **fields: Any) -> None:
        """A line of the log, its texts without the key."""
        cleaned = {name: self.text(value) if isinstance(value, str) else value for name, value in fields.items()}
        getattr(get_logger(), level)(event, **cleaned)

    def _found(self, letters: _Letters) -> Iterator[tuple[int, int]]:
        """The positions of parts of the key. Invisible characters between its letters are ignored."""
        seen = [each for each in letters if each[0].isprintable() and not each[0].isspace()]
        plain = "".join(letter for letter, _, _ in seen).lower()
        if len(plain) != len(seen):  # a letter whose lower-case form has two characters
            plain = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter, _, _ in seen)
        for length, runs in self._runs.items():
            for at in range(len(plain) - length + 1):
                if plain[at : at + length] in runs:
                    yield seen[at][1], seen[at + length - 1][2]


class _HttpLogs(logging.Filter):
    """httpx logs the reason of a status, and httpcore the headers of an answer: a server may write the key there."""

    _LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))

    def __init__(self) -> None:
        super().__init__()
        self._redactions: WeakSet[Redaction] = WeakSet()

    def clean_with(self, redaction: Redaction) -> None:
        """Clean every line with this one too, as long as it is in use."""
        self._redactions.add(redaction)
        for name in self._LOGGERS:
            logging.getLogger(name).addFilter(self)  # adding it twice does nothing

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        cleaned = message
        for redaction in list(self._redactions):
            cleaned = redaction.text(cleaned)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        return True


_http_logs = _HttpLogs()


def _runs(key: str) -> Iterator[str]:
    """Every part of the key of that length, unchanged and in the encodings that change every letter."""
    size = min(_RUN, len(key))
    data = key.encode()
    for at in range(len(key) - size + 1):
        part = data[at : at + size]
        yield key[at : at + size]
        yield key[at : at + size][::-1]
        yield codecs.encode(key[at : at + size], "rot13")
        yield part.hex()
        yield from (mark.join(map(str, part)) for mark in ("", ",", "-"))  # a list of bytes; blanks do not count
        yield part.hex(":")
        yield ",".join(f"0x{each:02x}" for each in part)
        yield "".join(f"0x{each:02x}" for each in part)
        yield from (mark.join(key[at : at + size]) for mark in ("','", '","', ",", "-"))  # a list of letters
        yield key[at : at + size].encode("utf-16-le").hex()
    for fives in (base64.b85encode, base64.a85encode):
        for start in range(4):  # four bytes are five letters, and each letter depends on all four
            coded = fives(data[start : len(data) - (len(data) - start) % 4]).decode()
            yield from (coded[first : first + 10] for first in range(0, len(coded) - 9, 5))
    wide = key.encode("utf-16-le")
    for encode, block in ((base64.b64encode, 3), (base64.urlsafe_b64encode, 3), (base64.b32encode, 5)):
        for coded, length in (*_coded(data, size, encode, block), *_coded(wide, 2 * size, encode, block)):
            yield from _parts(coded, length)
            if block == 3:  # base64 of base64
                for twice, longer in _coded(coded.encode(), length, encode, block):
                    yield from _parts(twice, longer)


def _coded(data: bytes, size: int, encode: Callable[[bytes], bytes], block: int) -> Iterator[tuple[str, int]]:
    """What an encoding makes of the data wherever they begin in a block, and how many letters so many bytes take."""
    bits = len(encode(bytes(block))) / block
    for shift in range(block):
        coded = encode(bytes(shift) + data).decode().rstrip("=")
        coded = coded[int(-(-shift * bits // 1)) : int((shift + len(data)) * bits)]
        yield coded, min(len(coded), int(size * bits))


def _parts(coded: str, length: int) -> Iterator[str]:
    return (coded[at : at + length] for at in range(len(coded) - length + 1) if length > 3)


def _unescaped(letters: _Letters) -> _Letters:
    """The letters with one layer of escapes read: JSON, Python, URL, quoted-printable and HTML."""
    text = "".join(letter for letter, _, _ in letters)
    plain: _Letters = []
    end = 0
    for escape in _ESCAPE.finditer(text):
        plain += letters[end : escape.start()]
        end = escape.end()
        code = next((int(each, 16) for each in escape.groups()[:6] if each), None)
        code = int(escape[7], 8) if escape[7] else code
        if code is not None:
            read = chr(code) if code < 0x110000 else escape[0]
        else:
            read = html.unescape(escape[8]) if escape[8] else escape[9]
        place = letters[escape.start()][1], letters[end - 1][2]
        plain += [(letter, *place) for letter in read]
    return plain + letters[end:]


def _marked(text: str, found: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    end = 0
    for start, stop in sorted(found):
        if start >= end and (start > end or not parts or parts[-1] != _MARK):
            parts += [text[end:start], _MARK]
        end = max(end, stop)
    return "".join([*parts, text[end:]])
