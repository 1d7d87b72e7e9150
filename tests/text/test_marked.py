"""Marked text is the text that ``str`` would give, and every character keeps its origin.

The template's characters and the messages' come from two alphabets here, so that a character tells its own origin.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit.text.marked import (
    MESSAGE,
    UNCLEAR,
    Marked,
    dump_json,
    formatted,
    indented,
    joined,
    marked,
    marks_of,
    replaced,
)

OURS, THEIRS = "aB -,", "xY\n.;"

TEMPLATES = st.text(OURS, max_size=4)
MESSAGES = st.text(THEIRS, max_size=4).map(lambda text: marked(text, bytes([MESSAGE]) * len(text)))
TEXTS = st.lists(TEMPLATES | MESSAGES, max_size=5).map(lambda parts: joined("", parts))

METHODS: list[tuple[str, tuple[Any, ...]]] = [
    *((name, ()) for name in ("strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "upper", "lower")),
    *((name, ()) for name in ("capitalize", "title", "swapcase", "casefold")),
    *((name, (chars,)) for name in ("strip", "lstrip", "rstrip") for chars in ("a", "xa ", "\n")),
    *((name, args) for name in ("split", "rsplit") for args in ((",",), ("a",), ("x.", 1), (None, 1), ("aB", 2))),
    *((name, (sep,)) for name in ("partition", "rpartition") for sep in (",", "x", "a.")),
    *((name, (sep,)) for name in ("removeprefix", "removesuffix") for sep in ("", "a", "xY")),
    ("splitlines", (True,)),
    ("replace", ("a", "B")),
    ("replace", ("x", "aa", 1)),
    ("replace", ("", "B")),
]


def check(result: Any, plain: Any) -> None:
    """The result is what ``str`` gives, and its characters have their marks or are unclear."""
    if isinstance(plain, str):
        assert isinstance(result, str) and str.__str__(result) == plain
        for character, mark in zip(plain, marks_of(result), strict=True):
            assert mark in (UNCLEAR, MESSAGE if character.lower() in THEIRS.lower() else 0), (plain, marks_of(result))
    else:
        assert type(result) is type(plain) and len(result) == len(plain)
        for one, other in zip(result, plain, strict=True):
            check(one, other)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_methods_are_those_of_str(text: str) -> None:
    plain = str.__str__(text)
    for name, args in METHODS:
        check(getattr(text, name)(*args), getattr(plain, name)(*args))
    check(list(text), list(plain))
    for at in (slice(1, 3), slice(None, None, -1), slice(-2, None), slice(0, 9, 2)):
        check(text[at], plain[at])
    check(text * 2, plain * 2)


@given(st.text("aB\n\r \x0b\u2028", max_size=8), st.sampled_from([0, 2, "x\n"]), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_indented_lines_are_those_of_jinja(text: str, width: int | str, first: bool, blank: bool) -> None:
    filters = pytest.importorskip("jinja2.filters")
    for given_text in (text, marked(text, bytes([MESSAGE]) * len(text))):
        result = indented(given_text, width, first, blank)
        assert str.__str__(result) == filters.do_indent(text, width, first, blank)


@given(TEXTS, TEXTS, TEXTS)
@settings(max_examples=150, deadline=None)
def test_texts_that_are_put_together_keep_their_marks(one: str, two: str, three: str) -> None:
    plain = [str.__str__(each) for each in (one, two, three)]
    check(one + two, plain[0] + plain[1])
    check(joined(one, [two, three]), plain[0].join(plain[1:]))
    check(replaced(one, two, three), plain[0].replace(plain[1], plain[2]))
    check("a" + one, "a" + plain[0])
    check(one + "a", plain[0] + "a")


@given(TEXTS, TEXTS)
@settings(max_examples=100, deadline=None)
def test_formats_keep_the_marks_of_their_values(one: str, two: str) -> None:
    plain = (str.__str__(one), str.__str__(two))
    for text in ("a%s-%sB", "%s%%%s", "a%5s%.1s"):
        check(formatted(text, (one, two), lambda given, text=text: text % given, percent=True), text % plain)
    for text in ("a{}-{}B", "{1}{{{0}", "{0:>5}{1!r}"):
        build = lambda given, text=text: text.format(*given[:-1])  # noqa: E731
        check_format(formatted(text, (one, two, {}), build, percent=False), text.format(*plain))


def check_format(result: str, plain: str) -> None:
    assert str.__str__(result) == plain
    assert all(
        marks_of(result)[at] for at, character in enumerate(plain) if character in THEIRS and character in "xY.;"
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXTS
    | st.text('\u00e9"\\\0 ', max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.none() | st.integers(0, 4), st.booleans(), st.none() | st.just((",", ":")))
@settings(max_examples=200, deadline=None)
def test_json_is_that_of_the_standard_library(value: Any, indent: Any, ascii_only: bool, separators: Any) -> None:
    rules: dict[str, Any] = {"ensure_ascii": ascii_only, "indent": indent, "separators": separators}
    text = dump_json(value, sort_keys=False, **rules)
    assert str.__str__(text) == json.dumps(value, **rules)
    for character, mark in zip(text, marks_of(text), strict=True):
        assert mark or character not in "xY;"


def test_json_sorts_its_keys() -> None:
    value = {"b": Marked("x", b"\1"), "a": [1.5, True, None], Marked("Y", b"\1"): {}}
    text = dump_json(value, ensure_ascii=False, indent=2, separators=None, sort_keys=True)
    assert str.__str__(text) == json.dumps(value, indent=2, sort_keys=True)
