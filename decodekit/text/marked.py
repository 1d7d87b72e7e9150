"""Text with the origin of each character: a chat template, or a message.

A template joins, cuts and changes the texts of messages before it writes them. `Marked` keeps the origins through all
of that: its methods are those of ``str`` and return marked text. So text of a user and text of the template stay
distinguishable.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from types import MethodType
from typing import Any, SupportsIndex

__all__ = ["LAST", "MESSAGE", "TEMPLATE", "UNCLEAR", "Marked", "dump_json", "formatted", "has_marks", "indented",
           "joined", "marks_of", "replaced", "unclear"]  # fmt: skip

TEMPLATE, MESSAGE, LAST, UNCLEAR = 0, 1, 2, 3
"""Marks of a character: the template's, a message's, that of the text to be continued, or not known."""

_PLAIN_PERCENT = re.compile(r"%(?:\(\w+\))?s|%%")
_PLAIN_BRACES = re.compile(r"\{\w*\}|\{\{|\}\}")


class Marked(str):
    """A text with one mark for each character. Make it with `marked`, which leaves the template's own text plain."""

    __slots__ = ("_marks",)
    _marks: bytes

    def __new__(cls, text: str, marks: bytes) -> Marked:
        made = str.__new__(cls, text)
        made._marks = marks
        return made

    def __str__(self) -> str:
        return self

    def __iter__(self) -> Iterator[str]:
        return (self[at] for at in range(len(self)))

    def __getitem__(self, at: SupportsIndex | slice) -> str:
        text = str.__getitem__(self, at)
        return marked(text, self._marks[at] if isinstance(at, slice) else bytes([self._marks[at]]))

    def __add__(self, other: str) -> str:
        return joined("", (self, other))

    def __radd__(self, other: str) -> str:
        return joined("", (other, self))

    def __mul__(self, times: SupportsIndex) -> str:
        return marked(str.__mul__(self, times), self._marks * times)

    __rmul__ = __mul__

    def strip(self, chars: str | None = None, /) -> str:
        return self.lstrip(chars).rstrip(chars)

    def lstrip(self, chars: str | None = None, /) -> str:
        return self[len(self) - len(str.lstrip(self, chars)) :]

    def rstrip(self, chars: str | None = None, /) -> str:
        return self[: len(str.rstrip(self, chars))]

    def removeprefix(self, prefix: str, /) -> str:
        return self[len(prefix) :] if prefix and self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> str:
        return self[: -len(suffix)] if suffix and self.endswith(suffix) else self

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._placed(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._placed(str.rsplit(self, sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        return self._placed(str.splitlines(self, keepends), "" if keepends else None)

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        first, middle, last = self._placed(str.partition(self, sep), "")
        return first, middle, last

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        first, middle, last = self._placed(str.rpartition(self, sep), "")
        return first, middle, last

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        return replaced(self, old, new, count)

    def join(self, items: Iterable[str], /) -> str:
        return joined(self, list(items))

    def upper(self) -> str:
        return self._by_character(str.upper)

    def lower(self) -> str:
        return self._by_character(str.lower)

    def casefold(self) -> str:
        return self._by_character(str.casefold)

    def swapcase(self) -> str:
        return self._by_character(str.swapcase)

    def capitalize(self) -> str:
        return self._by_character(str.capitalize)

    def title(self) -> str:
        return self._by_character(str.title)

    def _placed(self, parts: Iterable[str], gap: str | None) -> list[str]:
        """Parts of this text in their order, with their marks.

        Args:
            parts: as a method of ``str`` gives them.
            gap: the text between two parts; None where it is whitespace that no part begins with.
        """
        placed, at = [], 0
        for part in parts:
            start = at if gap is not None else str.find(self, part, at)
            placed.append(marked(part, self._marks[start : start + len(part)]))
            at = start + len(part) + len(gap or "")
        return placed

    def _by_character(self, change: Callable[[str], str]) -> str:
        text = change(self)
        if len(text) == len(self):
            return marked(text, self._marks)
        sizes = [len(change(character)) for character in str.__iter__(self)]
        if sum(sizes) != len(text):
            return unclear(text)
        return marked(text, b"".join(bytes([mark]) * size for mark, size in zip(self._marks, sizes, strict=True)))


def marked(text: str, marks: bytes) -> str:
    """The text with these marks; plain where all of it is the template's."""
    return Marked(text, marks) if marks.strip(b"\0") else str.__str__(text)


def unclear(text: str) -> str:
    """A text whose characters have an unknown origin."""
    return marked(str.__str__(text), bytes([UNCLEAR]) * len(text))


def marks_of(text: str) -> bytes:
    """A mark for each character."""
    return text._marks if isinstance(text, Marked) else bytes(len(text))


def has_marks(value: Any) -> bool:
    """Whether a value is a marked text, holds one, or shows one where it is written."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Marked):
            return True
        if isinstance(item, Mapping):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset | KeysView | ValuesView | ItemsView):
            stack.extend(item)
        elif isinstance(item, MethodType):  # written, it shows the text it belongs to
            stack.append(item.__self__)
    return False


def joined(separator: str, items: Iterable[str]) -> str:
    """``separator.join(items)``."""
    items = list(items)
    text = str.join(separator, items)
    if not isinstance(separator, Marked) and not any(isinstance(item, Marked) for item in items):
        return text
    return marked(text, marks_of(separator).join(map(marks_of, items)))


def replaced(text: str, old: str, new: str, count: SupportsIndex = -1) -> str:
    """``text.replace(old, new, count)``."""
    if not old:
        return unclear(str.replace(text, old, new, count)) if has_marks([text, new]) else text.replace(old, new, count)
    parts = Marked.split(text, old, count) if isinstance(text, Marked) else str.split(text, old, count)
    return joined(new, parts)


def indented(s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's filter ``indent``: spaces, or another text, before each line but the first one.

    Args:
        s: the lines.
        width: how many spaces, or the text.
        first: also before the first line.
        blank: also before empty lines.
    """
    margin = width if isinstance(width, str) else " " * width
    pieces = [margin] if first else []
    for at, line in enumerate((s + "\n").splitlines(keepends=True)):
        [content] = line.splitlines()
        pieces += [margin] if at and (content or blank) else []
        pieces += [content, marked("\n", marks_of(line)[-1:])]  # a line break of any kind becomes this one
    return joined("", pieces[:-1])


def formatted(text: str, values: Any, build: Callable[[Any], str], *, percent: bool) -> str:
    """A format string with its fields filled in.

    Args:
        text: the format string.
        values: of the fields: a tuple or a dict, or a tuple of both for ``str.format``.
        build: fills values into the text.
        percent: whether the fields are written with ``%``.
    """
    if not has_marks([text, values]):
        return build(values)
    plain = _PLAIN_PERCENT if percent else _PLAIN_BRACES
    rest = plain.sub("", text)
    if isinstance(text, Marked) or ("%" in rest if percent else "{" in rest or "}" in rest):
        return unclear(build(values))
    sign, hidden = secrets.token_hex(16), []

    def hide(value: Any) -> Any:
        if isinstance(value, Marked):
            hidden.append(value)
            return f"{sign}-{len(hidden) - 1}-"
        if isinstance(value, tuple):
            return tuple(map(hide, value))
        if isinstance(value, dict):
            return {key: hide(each) for key, each in value.items()}
        return value

    if has_marks([value for value in _fields(values) if not isinstance(value, str)]):
        return unclear(build(values))
    pieces = re.split(f"{sign}-(\\d+)-", build(hide(values)))
    return joined("", [hidden[int(piece)] if at % 2 else piece for at, piece in enumerate(pieces)])


def _fields(values: Any) -> Iterator[Any]:
    if isinstance(values, tuple):
        for value in values:
            yield from _fields(value) if isinstance(value, dict) else (value,)
    elif isinstance(values, dict):
        yield from values.values()
    else:
        yield values


def dump_json(value: Any, *, ensure_ascii: bool, indent: int | str | None, separators: Any, sort_keys: bool) -> str:
    """``json.dumps``, with the marks of the texts in the value."""
    if not has_marks(value):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    between, colon = separators or (("," if indent is not None else ", "), ": ")
    step = " " * indent if isinstance(indent, int) else indent
    pieces: list[str] = []

    def write(item: Any, margin: str) -> None:
        if isinstance(item, Mapping):
            pairs = sorted(item.items()) if sort_keys else item.items()
            write_all("{}", [(key, each) for key, each in pairs], margin)
        elif isinstance(item, list | tuple):
            write_all("[]", [(None, each) for each in item], margin)
        else:
            pieces.append(leaf(item))

    def write_all(brackets: str, items: list[tuple[Any, Any]], margin: str) -> None:
        inner = margin if step is None else f"{margin}{step}"
        pieces.append(brackets[0])
        for at, (key, each) in enumerate(items):
            pieces.append((between if at else "") + ("" if step is None else f"\n{inner}"))
            if brackets == "{}":
                pieces.extend((leaf(key) if isinstance(key, str) else f'"{leaf(key)}"', colon))
            write(each, inner)
        pieces.append(("" if step is None or not items else f"\n{margin}") + brackets[1])

    def leaf(item: Any) -> str:
        text = json.dumps(item, ensure_ascii=ensure_ascii)
        if not isinstance(item, Marked):
            return text
        mark = item._marks[0] if len(set(item._marks)) == 1 else UNCLEAR
        return marked(text, b"\0" + bytes([mark]) * (len(text) - 2) + b"\0")

    write(value, "")
    return joined("", pieces)
