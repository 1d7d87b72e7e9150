"""The rules of a ``tokenizer.json``: how its tokens spell bytes, and the same rules without what changes a text."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from decodekit.errors import ConfigError
from decodekit.text.base import SpaceInFront
from decodekit.text.byte_alphabet import BYTES

__all__ = [
    "SPACE_BEFORE_SPACES",
    "exact",
    "left_out",
    "loses",
    "marking_what_is_dropped",
    "parts_of",
    "reader_of",
    "space_in_front",
    "unknown_of",
]

_SPACE = "\u2581"  # what sentencepiece writes for a space
_NO_TEXT = ""  # a token that no text holds
_SPELLS_A_SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
SPACE_BEFORE_SPACES = rf"\A{_SPACE}(?= +\z)"
"""What llama.cpp's unigrams do not have: the space that is put in front of a text, where the text is spaces only."""
_NO_SPACE_BEFORE_SPACES = {"type": "Replace", "pattern": {"Regex": SPACE_BEFORE_SPACES}, "content": ""}
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
    names = ", ".join(sorted(kinds)) or "none"
    raise ConfigError(
        f"a tokenizer whose decoder is {names} has no bytes for its tokens; pass your own tokenizer object"
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
        if part.get("clean_text"):
            lost.append("control characters")
    return ", ".join(dict.fromkeys(lost))


def unknown_of(data: dict[str, Any]) -> str:
    """The token that stands for what has none, as the vocabulary writes it; '' for none."""
    model = data["model"]
    if model["type"] == "Unigram":
        at = model.get("unk_id")
        return "" if at is None else str(model["vocab"][at][0])
    return model.get("unk_token") or ""


def marking_what_is_dropped(data: dict[str, Any]) -> dict[str, Any] | None:
    """The same rules, with some token for each letter that they drop: a BPE vocabulary without 'unknown' drops letters.

    A text loses letters if these rules give it other ids. None where no letter is dropped.
    """
    model = data["model"]
    if model["type"] != "BPE" or unknown_of(data):
        return None
    in_bytes = any(part["type"] == "ByteLevel" for part in parts_of(data.get("pre_tokenizer")))
    letters = BYTES if in_bytes else [f"<0x{byte:02X}>" for byte in range(256)]
    if (in_bytes or model.get("byte_fallback")) and all(letter in model["vocab"] for letter in letters):
        return None
    return data | {"model": model | {"unk_token": next(iter(model["vocab"])), "fuse_unk": False}}


def left_out(data: dict[str, Any]) -> tuple[str, ...]:
    """The names of the normalisations that act on conversations and not on a text that is given."""
    if loses(data):
        return ()
    parts = parts_of(data.get("normalizer"))
    ours = (_SPELLS_A_SPACE, _NO_SPACE_BEFORE_SPACES)
    others = [part for part in parts if part["type"] != "Prepend" and not any(_is(part, rule) for rule in ours)]
    return tuple(part["type"] for part in others)


def exact(data: dict[str, Any], *, spaces: bool = False, markup: bool = False) -> dict[str, Any]:
    """The tokenizer without what adds to a text or changes it; spaces are still written as in sentencepiece.

    Args:
        data: the rules.
        spaces: still add the space in front of a text, or of each part of one.
        markup: what encodes with these rules cuts the text at control tokens first.
    """
    plain = copy.deepcopy(data)
    plain.update(truncation=None, padding=None)
    for token in plain.get("added_tokens") or ():
        token.update(lstrip=False, rstrip=False)  # these take white space away
    if loses(data):
        return plain
    if plain["model"]["type"] == "Unigram" and not markup:
        _hide_control_tokens(plain)
    kept = [
        part
        for part in parts_of(plain.get("normalizer"))
        if _is(part, _SPELLS_A_SPACE) or (spaces and (_prepends_space(part) or _is(part, _NO_SPACE_BEFORE_SPACES)))
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


def _hide_control_tokens(data: dict[str, Any]) -> None:
    """A unigram model finds control tokens in plain text, and prefers them."""
    special = {token["content"] for token in data.get("added_tokens") or () if token["special"]}
    vocab = data["model"]["vocab"]
    hidden = special & {token for token, _ in vocab}
    data["model"]["vocab"] = [[_NO_TEXT if token in hidden else token, score] for token, score in vocab]
    data["added_tokens"] = [token for token in data.get("added_tokens") or () if token["content"] not in hidden]


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
    shape = piece.strip(" ")  # with a space, which is spelled another way in texts, no text matches the token
    if len(shape) == 6 and shape.startswith("<0x") and shape.endswith(">"):
        try:
            return bytes([int(shape[3:5], 16)])
        except ValueError:  # a text of this shape
            return piece.encode()
    return _spaced(piece)


def _spaced(piece: str) -> bytes:
    return piece.replace(_SPACE, " ").encode()


def _word_piece(piece: str) -> bytes:
    return piece[2:].encode() if piece.startswith("##") else f" {piece}".encode()
