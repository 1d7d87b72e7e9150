"""Patterns of JSON Schema, which are regular expressions of ECMA-262, in the syntax of Rust's regex crate.

Where the two differ in which letters are blanks, a blank is one by both, and so is what is none: U+0085 and U+FEFF are
neither. A pattern of pydantic, which Rust's crate reads, is kept by that, too.

Source: ECMA-262, Pattern, with its flag u.
"""

from __future__ import annotations

import re
from typing import Any

from decodekit import ParameterError

__all__ = ["in_rust", "with_patterns_in_rust"]

_BOTH = r"\t\n\x0b\x0c\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"  # blanks by both
_ANY = _BOTH + r"\x{85}\x{feff}"  # blanks by one of them
_DOT = r"[^\n\r\x{2028}\x{2029}]"
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]+\}|[pP]\{[^}]*\}|.)", re.DOTALL)
_LETTERS = "bBdDnrtfvwW"  # escapes that both have; \c, \k and numbers are refused by name later
_REFUSED_LATER = "ck0123456789"
_SETS = (r"\d", r"\D", r"\w", r"\W")
_GROUP = re.compile(r"\((?!\?)|\(\?(?:[:=!]|<[=!]|P?<\w+>|i\)|i:)")


def with_patterns_in_rust(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema of a schema, with its patterns in Rust's syntax.

    Raises:
        ParameterError: a pattern has another meaning there, or none.
    """
    if "pattern" not in schema and "patternProperties" not in schema:
        return schema
    new = dict(schema)
    if isinstance(schema.get("pattern"), str):
        new["pattern"] = in_rust(schema["pattern"])
    if isinstance(schema.get("patternProperties"), dict):
        new["patternProperties"] = {in_rust(key): value for key, value in schema["patternProperties"].items()}
    return new


def in_rust(pattern: str) -> str:
    """A regular expression of ECMA-262 in Rust's syntax.

    Raises:
        ParameterError: it has another meaning there, or none.
    """
    found, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "[":
            text, at = _class(pattern, at + 1)
        elif letter == "\\":
            text, at = _escape(pattern, at)
            text = {r"\s": f"[{_BOTH}]", r"\S": f"[^{_ANY}]"}.get(text, text)
        elif letter == "(":
            text, at = _group(pattern, at)
        else:
            text, at = _DOT if letter == "." else letter, at + 1
        found.append(text)
    return "".join(found)


def _group(pattern: str, at: int) -> tuple[str, int]:
    """The beginning of a group, and the place behind it."""
    match = _GROUP.match(pattern, at)
    if match is None:
        raise _wrong(pattern, f"{pattern[at : at + 4]!r} begins no group of ECMA-262")
    return match.group(), match.end()


def _escape(pattern: str, at: int) -> tuple[str, int]:
    """An escape, and the place behind it; a letter without a meaning of its own is refused."""
    match = _ESCAPE.match(pattern, at)
    if match is None:
        raise _wrong(pattern, "it ends with a backslash")
    text = match.group()
    letter = text[1]
    if len(text) == 2 and letter.isalnum() and letter not in _LETTERS + _REFUSED_LATER + "sS":
        hint = {"A": "; use ^", "z": "; use $", "Z": "; use $"}.get(letter, "")
        raise _wrong(pattern, f"{text} is no escape of ECMA-262{hint}")
    return letter if letter in "<>" else text, match.end()  # Rust's \< is the beginning of a word


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A class of letters, and the place behind it."""
    negated = pattern.startswith("^", at)
    at += negated
    parts: list[str] = []
    escapes: set[str] = set()
    while not pattern.startswith("]", at):
        if at >= len(pattern):
            raise _wrong(pattern, "a class of letters is not closed")
        if pattern[at] == "\\":
            text, at = _escape(pattern, at)
            escapes.add(text)
            blanks, others = (_ANY, f"[^{_BOTH}]") if negated else (_BOTH, f"[^{_ANY}]")
            text = {r"\s": blanks, r"\S": others, r"\b": r"\x08", "<": "<", ">": ">"}.get(text, text)
        else:
            # Inside of a class, Rust gives a meaning to [ & ~ and to two of them; ECMA-262 to none.
            text, at = (f"\\{pattern[at]}" if pattern[at] in "[&~^" else pattern[at]), at + 1
        begun = parts[-1] if parts else "-"
        if text == "-" and _is_letter(begun) and not pattern.startswith("]", at) and parts[-2:-1] != ["-"]:
            parts.append("-")  # a range
        else:
            parts.append("\\-" if text == "-" else text)
    everything = {r"\s", r"\S"} <= escapes
    if not parts or everything:
        if negated != everything:
            return r"[\x00-\x{10ffff}]", at + 1
        raise _wrong(pattern, "an empty class of letters matches nothing")
    return f"[{'^' if negated else ''}{''.join(parts)}]", at + 1


def _is_letter(part: str) -> bool:
    """Whether a part of a class is one letter, with which a range may begin."""
    return part != "-" and part not in (_BOTH, _ANY) and not part.startswith(("[", "\\p", "\\P")) and part not in _SETS


def _wrong(pattern: str, why: str) -> ParameterError:
    shown = pattern if len(pattern) <= 60 else f"{pattern[:57]}..."
    return ParameterError(f"the pattern {shown!r} is not supported: {why}")
