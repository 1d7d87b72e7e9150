"""Keys of objects as they are written: without escapes, so that no key passes by the schema of its name.

llguidance lets a key that the schema does not name have escapes, and ``"\\u0061"`` is the key ``a``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from decodekit import ParameterError

__all__ = ["with_plain_keys"]

_NOT_PLAIN = r'"\\\x00-\x1f\x7f'
_LONGEST_NAME = 300  # letters; the pattern is nested as deep

_Names = dict[str, Any]  # the names by their first letter; '' where one ends


def with_plain_keys(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema of a schema, with a pattern for the keys that it does not name, where it names others.

    Raises:
        ParameterError: a name is too long for that.
    """
    others, named = schema.get("additionalProperties", True), schema.get("properties")
    if not isinstance(named, dict) or not named or others is False or schema.get("patternProperties"):
        return schema
    # A pattern also holds for the named keys: where it says nothing of them, it may be the simple one.
    pattern = f"[^{_NOT_PLAIN}]*" if others is True or others == {} else _other_than(named)
    return {**schema, "patternProperties": {f"^{pattern}$": others}, "additionalProperties": False}


def _other_than(names: Iterable[str]) -> str:
    """A regular expression for all plain keys but these; Rust's have no look-ahead."""
    tree: _Names = {}
    for name in names:
        if len(name) > _LONGEST_NAME:
            raise ParameterError(
                f"a key of {len(name)} letters beside additionalProperties with a schema: {_LONGEST_NAME} at most"
            )
        branch = tree
        for letter in name:
            branch = branch.setdefault(letter, {})
        branch[""] = True
    return _outside(tree)


def _outside(tree: _Names) -> str:
    letters = {letter: _escaped(letter) for letter in tree if letter}
    ways = [f"[^{_NOT_PLAIN}{''.join(letters.values())}][^{_NOT_PLAIN}]*"]
    ways += [escaped + _outside(tree[letter]) for letter, escaped in letters.items()]
    return f"(?:{'|'.join(ways)}){'' if '' in tree else '?'}"


def _escaped(letter: str) -> str:
    return f"\\x{{{ord(letter):x}}}"
