"""The contract of a tokenizer as a function: text to ids and back, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Sequence

from decodekit.errors import ConfigError, DecodekitError
from decodekit.text.tokenizer import Tokenizer

__all__ = ["check_tokenizer", "ordinary_ids"]

_TEXTS = (
    "a",
    "Hello, world!",
    "  two  spaces,\ta tab\r\nand lines\n\n",
    "naïve café, Ω, e\u0301",
    "東京の天気 — привет",
    "🙂 👩‍👩‍👧 \U0010fffd",
    "\x00 \x7f",
    "3.14159 + 2 = 5,14159",
    "<s> </s> <|im_start|>user<|im_end|> <|endoftext|> [INST]",
)
_SMALL = 2_000
_SAMPLE = 500


def check_tokenizer(
    tokenizer: Tokenizer, *, texts: Sequence[str] = (), vocab_size: int | None = None, seed: int = 0
) -> None:
    """Check a tokenizer against the contract of `decodekit.model.adapter.Tokenizer`.

    Args:
        tokenizer: the tokenizer.
        texts: beside the built-in ones; a text it refuses to encode with a `DecodekitError` is passed over.
        vocab_size: the model's, when it is larger than the tokenizer's (padding).
        seed: of the sample of ids that stands for a large vocabulary.

    Raises:
        AssertionError: the tokenizer breaks the contract; the message says where.
    """
    size = tokenizer.vocab_size
    assert size > 0, f"vocab_size is a positive number, not {size}"
    assert vocab_size is None or size <= vocab_size, f"the tokenizer has {size} tokens and the model only {vocab_size}"
    assert tokenizer.fingerprint and isinstance(tokenizer.fingerprint, str), "fingerprint identifies the vocabulary"
    assert isinstance(tokenizer.eos_ids, frozenset), f"eos_ids is a frozenset, not {type(tokenizer.eos_ids).__name__}"
    begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    for name, special in (("eos_ids", [*tokenizer.eos_ids]), ("bos_id", begin)):
        assert all(0 <= i < size for i in special), f"{name} lies outside the vocabulary of {size} tokens: {special}"
    assert tokenizer.encode("") == [], "an empty text has no tokens: encode adds no begin-of-text token"
    assert tokenizer.decode([]) == b"", "no tokens have no bytes"
    rng = random.Random(seed)  # noqa: S311 - a sample for a test, no secret
    pieces = _check_pieces(tokenizer, vocab_size or size, rng)
    own = [text for text in (_as_text(piece) for piece in pieces) if text][:_SAMPLE]
    for text in (*_TEXTS, *texts, *own):
        _check_round_trip(tokenizer, text)
    for _ in range(20):
        ids = [rng.randrange(size) for _ in range(rng.randint(1, 8))]
        parts = b"".join(tokenizer.token_bytes(i) or b"" for i in ids)
        assert tokenizer.decode(ids) == parts, (
            f"decode({ids}) is {tokenizer.decode(ids)!r}, and the tokens' own bytes are {parts!r}"
        )
    try:
        ids = tokenizer.encode_messages([{"role": "user", "content": "Hello"}])
    except ConfigError:
        return
    assert ids and all(0 <= i < size for i in ids), f"encode_messages gave ids outside the vocabulary of {size}"


def ordinary_ids(tokenizer: Tokenizer | None, size: int, rng: random.Random) -> list[int]:
    """Ids that are text, as far as one can know: no control tokens. A sample of a large vocabulary."""
    ids = list(range(size)) if size <= _SMALL else sorted(rng.sample(range(size), _SAMPLE))
    if tokenizer is None:
        return ids
    return [i for i in ids if tokenizer.token_bytes(i) and i not in tokenizer.eos_ids] or ids


def _check_pieces(tokenizer: Tokenizer, size: int, rng: random.Random) -> list[bytes]:
    ids = set(range(size)) if size <= _SMALL else set(rng.sample(range(size), _SAMPLE))
    ids |= {0, size - 1, *tokenizer.eos_ids}
    pieces = []
    for i in sorted(ids):
        piece = tokenizer.token_bytes(i)
        assert piece is None or isinstance(piece, bytes), (
            f"token_bytes({i}) is bytes, or None for a control token; not {type(piece).__name__}"
        )
        assert piece is None or tokenizer.decode([i]) == piece, (
            f"token {i} is {piece!r} alone and {tokenizer.decode([i])!r} decoded"
        )
        if piece:
            pieces.append(piece)
    assert pieces, "no token has any bytes"
    return pieces


def _check_round_trip(tokenizer: Tokenizer, text: str) -> None:
    try:
        ids = tokenizer.encode(text)
    except DecodekitError:
        return  # a small vocabulary may refuse a text; it may not mangle one
    assert all(type(i) is int and 0 <= i < tokenizer.vocab_size for i in ids), (
        f"encode({text!r}) gave {ids}, which are no ids of this vocabulary"
    )
    back = tokenizer.decode(ids)
    assert back == text.encode(), (
        f"{text!r} came back as {back!r} from encode and decode; no byte may be lost, added or normalised, "
        "and markup in a text is plain text"
    )


def _as_text(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None
