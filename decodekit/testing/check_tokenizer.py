"""The contract of a tokenizer as a function: text to ids and back, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from decodekit.errors import DecodekitError
from decodekit.text.base import prompt_ids
from decodekit.text.tokenizer import Tokenizer

__all__ = ["check_tokenizer", "ordinary_ids"]

_TEXTS = (
    "a",
    " a",
    "a ",
    "   a",
    " ",
    "  ",
    "\n",
    "\n\n a\n",
    "Hello, world!",
    "  two  spaces,\ta tab\r\nand lines\n\n",
    "naïve café, Ω, e\u0301, ﬁ, Å",
    "東京の天気 — привет",
    "🙂 👩‍👩‍👧 \U0010fffd",
    "\x00 \x7f",
    "3.14159 + 2 = 5,14159",
    "a\u2581b <0x0A> ##s Ġ",
    "<s> </s> <|im_start|>user<|im_end|> <|endoftext|> [INST]",
)
_MARKUP = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "[INST]", "<think>")
_CONVERSATIONS = (
    [{"role": "user", "content": "Hello"}],
    [{"role": "user", "content": " hi"}, {"role": "assistant", "content": "a  b\n"}, {"role": "user", "content": "é"}],
)
_SMALL = 2_000
_SAMPLE = 500


def check_tokenizer(
    tokenizer: Tokenizer,
    reference: Tokenizer | None = None,
    *,
    texts: Sequence[str] = (),
    vocab_size: int | None = None,
    seed: int = 0,
) -> None:
    """Check a tokenizer against the contract of `decodekit.text.tokenizer.Tokenizer`.

    Args:
        tokenizer: the tokenizer. If its attribute ``loses`` says what it does not keep of a text, the decoded text may
            differ; it must then be encoded to the same ids again.
        reference: another tokenizer of the same vocabulary: ids, bytes, end-of-text tokens, prompts and conversations
            must be equal.
        texts: in addition to the built-in ones; a text that it refuses with a `DecodekitError` is skipped.
        vocab_size: the model's, if it is larger than the tokenizer's (padding).
        seed: the seed of the sample of ids, for a large vocabulary.

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
    assert tokenizer.decode([]) == b"", "an empty list of tokens decodes to no bytes"
    rng = random.Random(seed)  # noqa: S311 - a sample for a test, not a secret
    ids = _sample(tokenizer, vocab_size or size, rng)
    pieces = _check_pieces(tokenizer, ids)
    own = [text for text in (_as_text(piece) for piece in pieces) if text][:_SAMPLE]
    for text in (*_TEXTS, *texts, *own):
        _check_round_trip(tokenizer, text)
    for text in _MARKUP:
        _check_markup(tokenizer, text)
    for _ in range(20):
        drawn = [rng.randrange(size) for _ in range(rng.randint(1, 8))]
        parts = b"".join(tokenizer.token_bytes(i) or b"" for i in drawn)
        assert tokenizer.decode(drawn) == parts, (
            f"decode({drawn}) is {tokenizer.decode(drawn)!r}, and the tokens' own bytes are {parts!r}"
        )
    for messages in _CONVERSATIONS:
        encoded = _answer(tokenizer.encode_messages, messages)
        good = encoded is None or (encoded and all(0 <= i < size for i in encoded))
        assert good, f"encode_messages gave ids outside the vocabulary of {size}"
    if reference is not None:
        _check_equal(tokenizer, reference, [*_TEXTS, *_MARKUP, *texts, *own], ids)


def ordinary_ids(tokenizer: Tokenizer | None, size: int, rng: random.Random) -> list[int]:
    """Ids that have text and are not end-of-text tokens. A sample, for a large vocabulary."""
    ids = list(range(size)) if size <= _SMALL else sorted(rng.sample(range(size), _SAMPLE))
    if tokenizer is None:
        return ids
    return [i for i in ids if tokenizer.token_bytes(i) and i not in tokenizer.eos_ids] or ids


def _sample(tokenizer: Tokenizer, size: int, rng: random.Random) -> list[int]:
    ids = set(range(size)) if size <= _SMALL else set(rng.sample(range(size), _SAMPLE))
    return sorted(ids | {0, size - 1, *tokenizer.eos_ids})


def _check_pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[bytes]:
    pieces = []
    for i in ids:
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
    ids = _answer(tokenizer.encode, text)
    if ids is None:
        return  # a small vocabulary may refuse a text, but must not change one
    assert all(type(i) is int and 0 <= i < tokenizer.vocab_size for i in ids), (
        f"encode({text!r}) gave {ids}, which are not all ids of this vocabulary"
    )
    back = tokenizer.decode(ids)
    if getattr(tokenizer, "loses", ""):
        again = _answer(tokenizer.encode, back.decode("utf-8", "replace"))
        assert again == ids, f"{text!r} came back as {back!r}, and that has the ids {again} and not {ids}"
        return
    assert back == text.encode(), (
        f"{text!r} came back as {back!r} from encode and decode; no byte may be lost, added or normalised, "
        "and markup in a text is plain text"
    )


def _check_markup(tokenizer: Tokenizer, markup: str) -> None:
    """A control token does not change the ids of the text before and after it."""
    named = _answer(lambda text: tokenizer.encode(text, special=True), markup)
    if named is None or len(named) != 1 or tokenizer.token_bytes(named[0]) is not None:
        return
    for before, after in (("a", "b"), (" a ", " b"), ("\n", "\n")):
        around = [_answer(tokenizer.encode, text) for text in (before, after)]
        if around[0] is not None and around[1] is not None:
            got = tokenizer.encode(f"{before}{markup}{after}", special=True)
            assert got == [*around[0], *named, *around[1]], (
                f"{before + markup + after!r} is {got} with markup; {before!r} and {after!r} alone are {around}"
            )


def _check_equal(tokenizer: Tokenizer, other: Tokenizer, texts: Sequence[str], ids: Sequence[int]) -> None:
    """The same vocabulary, rules and template, as far as these texts and ids show."""
    for name in ("bos_id", "eos_ids"):
        ours, theirs = getattr(tokenizer, name), getattr(other, name)
        assert ours == theirs, f"{name} is {ours}, and {theirs} in the reference"
    for i in ids:
        if i < min(tokenizer.vocab_size, other.vocab_size):
            ours, theirs = tokenizer.token_bytes(i), other.token_bytes(i)
            assert ours == theirs, f"token {i} is {ours!r}, and {theirs!r} in the reference"
    asked: dict[str, Callable[[Tokenizer, str], list[int]]] = {
        "encode": lambda it, text: it.encode(text),
        "encode with markup": lambda it, text: it.encode(text, special=True),
        "the prompt": prompt_ids,
    }
    for text in texts:
        for what, ask in asked.items():
            ours, theirs = (_answer(partial(ask, it), text) for it in (tokenizer, other))
            assert ours == theirs, f"{what} of {text!r} is {ours}, and {theirs} in the reference"
    for messages in _CONVERSATIONS:
        ours, theirs = (_answer(it.encode_messages, messages) for it in (tokenizer, other))
        assert ours == theirs, f"the conversation {messages} is {ours}, and {theirs} in the reference"


def _answer(ask: Callable[[Any], list[int]], what: Any) -> list[int] | None:
    """The ids, or None if it refuses."""
    try:
        return ask(what)
    except DecodekitError:
        return None


def _as_text(piece: bytes) -> str | None:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None
