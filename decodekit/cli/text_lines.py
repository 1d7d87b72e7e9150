"""Texts that are given: as an argument, as a file, or on each line of a file, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError, ParameterError, did_you_mean

__all__ = ["TextLine", "argument_text", "read_text", "text_lines"]

_LONGEST = 2**26  # bytes of a line


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line.

    Args:
        text: a text, or token ids.
        given: what comes before it; None where the line does not say.
        label: the line's ``id``; None without one.
    """

    text: str | list[int]
    given: Any = None
    label: str | int | None = None


def text_lines(path: Path, option: str, keys: Sequence[str] = ("text", "given", "id")) -> Iterator[TextLine]:
    """The lines of a file, read as they are taken; empty ones are left out.

    Raises:
        ConfigError: the file cannot be read, or what is wrong with which line; at the end, that there was none.
    """
    try:
        with path.open("rb") as file:
            number, empty = 0, True
            while line := file.readline(_LONGEST + 1):
                number += 1
                if line.strip():
                    empty = False
                    yield _line(line, f"{option} {path}, line {number}", keys)
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path}: {error.strerror}") from error
    if empty:
        raise ConfigError(f"{option}: {path} has no text")


def _line(line: bytes, where: str, keys: Sequence[str]) -> TextLine:
    if len(line) > _LONGEST:
        raise ConfigError(f"{where}: it has more than {_LONGEST} bytes")
    try:
        data = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f'{where}: it is not JSON: {error}; a line is a text in quotes, or {{"text": "..."}}'
        ) from None
    data = data if isinstance(data, dict) else {"text": data}
    unknown = [key for key in data if key not in keys]
    if unknown:
        raise ConfigError(f"{where}: there is no key {unknown[0]!r}{did_you_mean(unknown[0], keys)}")
    text, label = data.get("text"), data.get("id")
    if not isinstance(text, str) and not _are_ids(text):
        raise ConfigError(f"{where}: 'text' is a text or a list of token ids")
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise ConfigError(f"{where}: an id is text or a whole number, not {label!r}")
    return TextLine(text, data.get("given"), label)  # type: ignore[arg-type]  # checked above


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def read_text(path: Path, option: str) -> str:
    """A whole file as one text.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path}: {error.strerror}") from error
    except UnicodeError as error:
        raise ConfigError(f"{option}: {path} is not UTF-8: {error}") from None


def argument_text(argument: str, what: str = "prompt") -> str:
    """An argument that is a text, or '-' for stdin. Text that is not UTF-8 is refused before a model is loaded."""
    try:
        if argument == "-":
            return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
        argument.encode("utf-8")  # an argument with invalid bytes contains lone surrogates
        return argument
    except UnicodeError as error:
        raise ParameterError(f"the {what} is not UTF-8: {error}") from None
    except OSError as error:
        raise ParameterError(f"cannot read the {what} from stdin: {error.strerror}") from None
