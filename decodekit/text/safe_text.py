"""Text of a model, made safe to show in a terminal.

A token may hold an escape sequence that clears the screen or writes to the clipboard, or a character that reverses the
direction of the rest of the line. None of these reaches a terminal: invisible characters are shown as escapes.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["safe_text"]

# Controls, format characters (bidi, zero-width, tags), surrogates, private use, unassigned, line and paragraph ends.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Invisible characters of visible categories: fillers, joiners and variation selectors.
_BLANK = frozenset(
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE0E)]
) | frozenset(range(0xE0100, 0xE01F0))
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe_text(text: str, *, newlines: bool = False) -> str:
    """The text with every invisible character written as an escape such as ``\\x1b``.

    Args:
        text: any text.
        newlines: leave newlines as they are, for running text; in a table they would break the line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if newlines and c == "\n" else _shown(c) for c in text)


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) not in _UNSEEN and code not in _BLANK:
        return character
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
