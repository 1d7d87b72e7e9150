"""What the operations of a chat template cost, by the size of what they touch; see `decodekit.text.template_work`."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

from decodekit.text.template_work import ITEM, OPERATION, Work

__all__ = [
    "CHEAP_FILTERS",
    "COMPARING_TESTS",
    "EACH_PLACE",
    "FOLLOWED_FILTERS",
    "LIST_METHODS",
    "PICKING_FILTERS",
    "TEXT_METHODS",
    "WIDENING",
    "afford_format",
    "afford_replacing",
    "charge_comparison",
    "charge_filter",
    "depth_of",
    "search_price",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMPARING_TESTS = _words("== eq equalto != ne > gt greaterthan >= ge < lt lessthan <= le in")

TEXT_METHODS = _words(
    "capitalize casefold center count endswith expandtabs find format index isalnum isalpha isascii isdecimal isdigit "
    "isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition removeprefix "
    "removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title "
    "upper zfill"
)
WIDENING = _words("center expandtabs ljust rjust zfill")
EACH_PLACE = _words("lstrip rfind rindex rpartition rsplit rstrip strip trim")  # each position is tried
LIST_METHODS = _words("copy count get index items keys values")

CHEAP_FILTERS = _words("attr count d default first last length")
_SHALLOW_FILTERS = _words("batch items list map random reject rejectattr reverse select selectattr slice")
_DEARER_FILTERS = {
    **dict.fromkeys(_words("dictsort groupby max min sort string tojson unique wordcount"), 20),
    **dict.fromkeys(_words("title urlencode"), 100),
}
_SLOW_FILTERS = _words("pprint striptags urlize wordwrap xmlattr")  # on some texts they take quadratic time
PICKING_FILTERS = CHEAP_FILTERS | _words("max min random")  # they give one of the values, unchanged
FOLLOWED_FILTERS = _words("capitalize format indent join lower replace reverse safe string tojson trim truncate upper")
"""Filters that use the methods of marked texts only, so that the marks they give are right."""


def charge_comparison(work: Work, left: Any, right: Any, *, inside: bool) -> None:
    """Charge for ``left == right`` and the other comparisons; with ``inside`` for ``left in right``."""
    work.spend(OPERATION)
    if not inside:
        if isinstance(left, str) and isinstance(right, str):
            work.spend(min(len(left), len(right)))
        elif not (_is_scalar(left) or _is_scalar(right)):
            work.spend(work.size(left) + work.size(right))
    elif isinstance(right, str):
        work.spend(search_price(right, left))
    elif isinstance(right, list | tuple | range):
        work.spend(len(right) * (ITEM + work.size(left)))
    else:
        work.spend(work.size(left) + work.size(right))


def charge_filter(work: Work, name: str, given: list[Any]) -> None:
    """Charge for a filter by its name and all it was given; refuse what would be too large before it is made."""
    first: Any = given[0] if given else None
    work.spend(OPERATION)
    if name in CHEAP_FILTERS:
        return
    if name in _SHALLOW_FILTERS:
        work.spend(ITEM * len(first) if isinstance(first, str | list | tuple | dict | range) else 0)
        if name == "batch":
            work.afford(ITEM * max((each for each in given[1:] if isinstance(each, int)), default=0))
        return
    size = sum(map(work.size, given))
    work.spend(size * _DEARER_FILTERS.get(name, 4))
    if name in _SLOW_FILTERS:
        work.spend(size * size // 16)
    if name == "trim" and isinstance(first, str) and len(given) > 1:
        work.spend(search_price(first, given[1], each_place=True))
    if name == "unique" and not (len(given) == 1 and all(isinstance(item, str) for item in first)):
        work.spend(20 * len(first) ** 2)  # numbers can be chosen so that they all hash alike
    if name == "sum" and any(isinstance(each, list | tuple) for each in given[1:]):
        work.spend(size * len(first))
    if name in ("center", "indent", "round", "tojson", "truncate", "wordwrap"):
        widths = [abs(each) for each in given[1:] if isinstance(each, int | float)]
        lines = first.count("\n") + 1 if name == "indent" and isinstance(first, str) else 1
        work.afford(max(widths, default=0) * max(lines, 1 if name == "center" else 1000))


def afford_replacing(work: Work, text: str, args: Any) -> None:
    """Refuse a replacement whose result would be too large. ``args`` are the old text and the new one."""
    if len(args) >= 2:
        work.afford(len(text) + (text.count(str(args[0])) + 1) * len(str(args[1])))


def afford_format(work: Work, text: str, values: Any, fields: int, *, nested: bool) -> None:
    """Widths and precisions in a format ask for any amount of memory, and each field writes its value again."""
    if nested:
        raise SecurityError("a format whose widths are values")
    numbers = re.findall(r"\d+", text)
    if any(len(number) > 6 for number in numbers):
        raise SecurityError("a format this wide")
    work.afford(len(text) + sum(map(int, numbers)) + fields * work.size(values))


def search_price(text: str, sought: Any, *, each_place: bool = False) -> int:
    """The price of searching for a text in another one."""
    length = len(sought) if isinstance(sought, str) else 0
    return OPERATION + len(text) * (1 + (length if each_place else min(length, 128)) // 8)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | Undefined)


def depth_of(value: Any) -> int:
    """How many levels of lists and mappings a value has."""
    depth, level = 1, [value]
    while level:
        level = [
            inner
            for item in level
            if isinstance(item, list | tuple | dict)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        depth += 1
    return depth
