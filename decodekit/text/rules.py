"""The rules of a ``tokenizer.json``: how its tokens spell bytes, and the same rules without what changes a text."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from decodekit.errors import ConfigError
from decodekit.text.base import SpaceInFront
from decodekit.text.byte_alphabet import BYTES

__all__ = ["exact", "left_out", "loses", "parts_of", "reader_of", "space_in_front"]

_SPACE = "\u2581"  # what sentencepiece writes for a space
_NEVER = -1e6  # a log-probability below every other
_SPELLS_A_SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
_READS_A_SPACE = {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}


def parts_of(rule: Any) -> list[dict[str, Any]]:
    """The rules of a sequence, or the one rule; none for None."""
    if rule is None:
        return []
    for key in ("decoders", "normalizers", "pretokenizers"):
        if key in rule:
            return [part for each in rule[key] for part in parts_of(each)]
    return [rule]


def reader_of(data: dict[str, Any]) -> Callable[[str], bytes]:
    """From a token as the vocabulary writes it to its bytes.

    Raises:
        ConfigError: a family whose tokens have no bytes.
    """
    parts = parts_of(data.get("decoder"))
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return _byte_level
    if "ByteFallback" in kinds:
        return _byte_or_text
    if "Metaspace" in kinds or _READS_A_SPACE in parts:
        return _spaced
    if "WordPiece" in kinds:
        return _word_piece
    listed = ", ".join(sorted(kinds)) or "none"
    raise ConfigError(
        f"a tokenizer whose decoder is {listed} has no bytes for its tokens; pass your own tokenizer object"
    )


def space_in_front(data: dict[str, Any], *, parts: bool = False) -> SpaceInFront:
    """Whether the tokenizer begins a text with a space; with ``parts``, each part after a control token."""
    for part in parts_of(data.get("normalizer")):
        if _prepends_space(part):
            return "always"
    for part in parts_of(data.get("pre_tokenizer")):
        old = "always" if part.get("add_prefix_space", True) else "never"
        if part["type"] == "Metaspace" and part.get("prepend_scheme", old) not in ("never", "first" if parts else ""):
            return "unless there"
        if part["type"] == "ByteLevel" and part.get("add_prefix_space"):
            return "unless there"
    return "never"


def loses(data: dict[str, Any]) -> str:
    """What a text loses in this vocabulary; '' for nothing: other rules that change a text can be left out."""
    if data["model"]["type"] != "WordPiece":
        return ""
    lost = ["a space before each word, whatever white space was there"]
    for part in parts_of(data.get("normalizer")):
        if part["type"] == "Lowercase" or part.get("lowercase"):
            lost.append("capital letters")
        if part["type"] == "StripAccents" or part.get("strip_accents", part.get("lowercase")):
            lost.append("accents")
    return ", ".join(dict.fromkeys(lost))


def left_out(data: dict[str, Any]) -> tuple[str, ...]:
    """The names of the normalisations that act on conversations and not on a text that is given."""
    if loses(data):
        return ()
    parts = parts_of(data.get("normalizer"))
    return tuple(part["type"] for part in parts if part["type"] != "Prepend" and not _is(part, _SPELLS_A_SPACE))


def exact(data: dict[str, Any], *, spaces: bool = False) -> dict[str, Any]:
    """The tokenizer without what adds to a text or changes it; spaces are still written as in sentencepiece.

    With ``spaces`` it still adds the space in front of a text, or of each part of one, and changes nothing else.
    """
    plain = copy.deepcopy(data)
    plain.update(truncation=None, padding=None)
    for token in plain.get("added_tokens") or ():
        token.update(lstrip=False, rstrip=False)  # these take white space away
    if loses(data):
        return plain
    if plain["model"]["type"] == "Unigram":  # it finds control tokens in plain text, and prefers them
        special = {token["content"] for token in plain.get("added_tokens") or () if token["special"]}
        plain["model"]["vocab"] = [[t, _NEVER if t in special else score] for t, score in plain["model"]["vocab"]]
    kept = [
        part
        for part in parts_of(plain.get("normalizer"))
        if _is(part, _SPELLS_A_SPACE) or (spaces and _prepends_space(part))
    ]
    split = parts_of(plain.get("pre_tokenizer"))
    if any(part["type"] == "Metaspace" for part in split):
        split = [part for part in split if part["type"] not in ("WhitespaceSplit", "Whitespace")]  # these drop spaces
    for part in [] if spaces else split:
        if part["type"] == "ByteLevel":
            part["add_prefix_space"] = False
        if part["type"] == "Metaspace":
            part.pop("add_prefix_space", None)
            part["prepend_scheme"] = "never"
    plain["normalizer"] = {"type": "Sequence", "normalizers": kept} if kept else None
    plain["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": split} if split else None
    return plain


def _prepends_space(part: dict[str, Any]) -> bool:
    return part["type"] == "Prepend" and part.get("prepend") in (_SPACE, " ")


def _is(part: dict[str, Any], rule: dict[str, Any]) -> bool:
    return all(part.get(key) == value for key, value in rule.items())


def _byte_level(piece: str) -> bytes:
    try:
        return bytes(BYTES[character] for character in piece)
    except KeyError:  # not written in the alphabet of bytes: a token added later
        return piece.encode()


def _byte_or_text(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        try:
            return bytes([int(piece[3:5], 16)])
        except ValueError:  # a text of this shape
            return piece.encode()
    return _spaced(piece)


def _spaced(piece: str) -> bytes:
    return piece.replace(_SPACE, " ").encode()


def _word_piece(piece: str) -> bytes:
    return piece[2:].encode() if piece.startswith("##") else f" {piece}".encode()
