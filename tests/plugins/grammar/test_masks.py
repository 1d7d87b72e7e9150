"""The mask is what brute force says: the tokens after which some text of the language can still be finished."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llguidance")

from decodekit import Context, DecodekitError, Distribution, ParameterError, Session, processor
from decodekit.draw.context import TokenIds
from decodekit.testing import TableAdapter, check_processor
from decodekit.testing.material import context
from decodekit.testing.tokenizers import PiecesTokenizer
from decodekit_grammar.vocabulary import vocabulary_of
from tests.plugins.grammar.models import EOS, PIECES, SIZE, rows_of, tokenizer

ALPHABET = "abé0 "


def allowed(part: Any, ids: list[int], tokens: Any = None) -> set[int]:
    ctx = Context(TokenIds([0]), TokenIds(ids), tokens or tokenizer())
    return set(np.flatnonzero(part.initial(ctx).mask).tolist())


def expected(texts: list[str], ids: list[int], pieces: list[bytes | None], eos: int) -> set[int]:
    written = b"".join(pieces[i] or b"" for i in ids)
    left = [text.encode()[len(written) :] for text in texts if text.encode().startswith(written)]
    found = {i for i, piece in enumerate(pieces) if piece and any(rest.startswith(piece) for rest in left)}
    return found | ({eos} if b"" in left else set())


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(ALPHABET, min_size=1, max_size=6), min_size=1, max_size=5, unique=True),
    longer=st.lists(st.text(ALPHABET, min_size=2, max_size=3), max_size=4, unique=True),
    picks=st.lists(st.integers(0, 50), max_size=8),
    as_regex=st.booleans(),
)
def test_a_free_mask_holds_the_tokens_that_some_text_continues_with(
    texts: list[str], longer: list[str], picks: list[int], as_regex: bool
) -> None:
    pieces: list[bytes | None] = [bytes([i]) for i in sorted({b for text in ALPHABET for b in text.encode()})]
    pieces += [text.encode() for text in longer if text.encode() not in pieces]
    pieces += [pieces[0], None]  # two tokens with the same bytes
    tokens = PiecesTokenizer(pieces, eos_ids=[len(pieces) - 1])
    params: dict[str, Any] = {"regex": "|".join(texts)} if as_regex else {"choice": texts}
    part = processor("regex" if as_regex else "choice", forcing="free", **params)
    ids: list[int] = []
    for pick in [*picks, 0]:
        found = allowed(part, ids, tokens)
        assert found == expected(texts, ids, pieces, len(pieces) - 1), ids
        others = sorted(found - {len(pieces) - 1})
        if not others:
            break
        ids.append(others[pick % len(others)])


def test_a_canonical_mask_splits_what_must_follow_as_the_tokenizer_does() -> None:
    free, canonical = (processor("choice", choice=["hello there"], forcing=how) for how in ("free", "canonical"))
    assert {PIECES[i] for i in allowed(free, [])} == {b"h", b"he", b"hello"}
    assert {PIECES[i] for i in allowed(canonical, [])} == {b"hello"}


def test_where_one_text_begins_another_the_end_of_text_decides() -> None:
    part = processor("choice", choice=["ye", "yellow"], forcing="free")
    assert {PIECES[i] for i in allowed(part, tokenizer().encode("ye"))} == {b"l", b"llo", None}


def test_thousands_of_choices() -> None:
    texts = [f"word {i:05d}" for i in range(20_000)]
    part = processor("choice", choice=texts, forcing="free")
    place = part.initial(Context(TokenIds([0]), TokenIds(tokenizer().encode("word 1234")), tokenizer()))
    assert {PIECES[i] for i in np.flatnonzero(place.mask)} == {str(i).encode() for i in range(10)}


@pytest.mark.parametrize(
    "text", ["a.b*c", "a/b", "a\\n\nb", "[x](y){z}|^$", "<b>c</b>", "'`!%;:=@,_", '"quoted" & ~odd', "é 東\t"]
)
def test_a_choice_is_taken_letter_by_letter(text: str) -> None:
    for part in (processor("choice", choice=[text]), processor("regex", regex=re.escape(text))):
        place = part.initial(Context(TokenIds([0]), TokenIds(list(text.encode())), tokenizer()))
        assert np.flatnonzero(place.mask).tolist() == [EOS]


def test_grammars_are_kept_for_a_while() -> None:
    vocabulary = vocabulary_of(tokenizer())
    for i in range(100):
        processor("regex", regex=f"a{{{i + 1}}}").initial(Context(TokenIds([0]), TokenIds(), tokenizer()))
    assert len(vocabulary._starts) <= 32


def test_a_text_ends_only_where_it_is_whole() -> None:
    part = processor("choice", choice=["no", "yes"])
    assert EOS not in allowed(part, [ord("n")])
    assert allowed(part, [ord("n"), ord("o")]) == {EOS}
    place = part.initial(Context(TokenIds([0]), TokenIds([ord("n")]), tokenizer()))
    assert not part.complete(place)
    place = part.initial(Context(TokenIds([0]), TokenIds([ord("n"), ord("o"), EOS]), tokenizer()))
    assert part.complete(place) and part.forced(place) == []


def test_a_token_that_the_grammar_does_not_allow_is_an_error_and_changes_nothing() -> None:
    part = processor("choice", choice=["no"])
    place = part.initial(Context(TokenIds([0]), TokenIds(), tokenizer()))
    before = place.mask.copy()
    for token in (ord("y"), EOS, SIZE + 5):
        with pytest.raises(ParameterError, match="does not allow the token"):
            place.matcher.after(token)
        assert (place.mask == before).all() and not place.matcher.accepting


def test_places_are_shared_by_branches() -> None:
    """A step on one branch moves no other, whatever was asked of it before."""
    part = processor("regex", regex="(ab|ac)*")
    start = part.initial(Context(TokenIds([0]), TokenIds(), tokenizer()))
    one = start.matcher.after(ord("a"))
    masks = [place.mask.copy() for place in (start.matcher, one)]
    one.after(ord("b")).after(ord("a")).mask.sum()
    one.after(ord("c"))
    assert [(place.mask == mask).all() for place, mask in zip((start.matcher, one), masks, strict=True)] == [True] * 2


def test_a_byte_without_a_token_is_an_error_and_not_the_end_of_text() -> None:
    tokens = PiecesTokenizer([b"a", b"b", None], eos_ids=[2])
    part = processor("choice", choice=["axb"])
    session = Session(TableAdapter({(): [0.0, 0.0, 0.0]}, 3, tokenizer=tokens), [part], seed=1)
    with pytest.raises(DecodekitError, match="token"):
        session.generate([0], max_tokens=9)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (None, "needs a tokenizer"),
        (PiecesTokenizer([b"a", b"b"]), "end-of-text token"),
    ],
)
def test_a_tokenizer_that_cannot_do_is_refused_before_the_first_token(tokens: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        processor("choice", choice=["a"]).initial(Context(TokenIds([0]), TokenIds(), tokens))


@pytest.mark.parametrize(
    "part",
    [
        processor("choice", choice=["yes", "no"]),
        processor("regex", regex="[a-z]{1,9}"),
        processor("json"),
        processor("json_schema", json_schema={"type": "integer"}),
        processor("lark", lark='start: "a" start | "b"'),
        processor("tools", tools=[{"name": "now", "parameters": {"type": "object"}}]),
    ],
    ids=lambda part: type(part).__name__,
)
def test_the_contract(part: Any) -> None:
    dists = [Distribution.dense(rows_of(seed)((0,))) for seed in range(3)]
    check_processor(part, dists=dists, contexts=[context([0], [], "part", 1, tokenizer())], names_ids=True)
