"""Token healing: the law by enumeration on a toy model, the prompt helper, a real vocabulary."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import (
    Chain,
    Context,
    Disclosure,
    Distribution,
    EmptySupport,
    ParameterError,
    PluginError,
    Session,
    Undisclosed,
    processor,
)
from decodekit.draw.context import TokenIds
from decodekit.testing import BytesTokenizer, PiecesTokenizer, TableAdapter, check_processor
from decodekit_sampling import cut_prompt

from .cases import context, scores

PIECES = [b"h", b"t", b"tp", b"http", b"https", b":", b"://", b"s", b"", None]
TOKENIZER = PiecesTokenizer(PIECES, eos_ids=[9])


def allowed(text: Any, output: list[int], **parameters: Any) -> list[int]:
    row = np.zeros(len(PIECES), dtype=np.float32)
    got = scores("token_healing", row, context([0], output, TOKENIZER), token_healing=text, **parameters)
    return np.flatnonzero(got > -math.inf).tolist()


def goes_on(piece: bytes | None, rest: bytes, pieces: bool = True) -> bool:
    """The definition, by trying everything."""
    if not rest:
        return True
    if not piece:
        return False
    if piece.startswith(rest):
        return True
    return pieces and rest.startswith(piece) and any(goes_on(p, rest[len(piece) :]) for p in PIECES)


def test_by_hand() -> None:
    assert allowed("http", []) == [0, 3, 4]  # a piece of it, all of it, and more
    assert allowed("http", [], pieces=False) == [3, 4]
    assert allowed([3], []) == [0, 3, 4]
    assert allowed("http", [0]) == [1]  # "ttp" goes on with "t" only
    assert allowed("http", [0, 1]) == [2]  # another "t" would leave "p", which no token writes
    assert allowed("http", [0, 1, 2]) == list(range(10)) == allowed("http", [4])  # written: free
    assert allowed([3, 5], []) == [0, 3] and allowed([3, 5], [3]) == [5, 6]


def test_the_output_is_the_models_own_on_condition_that_it_begins_with_the_text() -> None:
    """The text always comes, and each step is the model's own, conditioned on the tokens that go on with it."""
    rng = np.random.default_rng(3)
    rows = {ids: rng.normal(0, 1, 10) for length in range(5) for ids in itertools.product(range(10), repeat=length)}
    adapter = TableAdapter(lambda ids: rows[ids[1:]], 10, tokenizer=TOKENIZER)
    chain = Chain([processor("token_healing", token_healing="http")])
    for seed in range(60):
        result = Session(adapter, chain).generate([5], max_tokens=4, seed=seed)
        data = TOKENIZER.decode(result.token_ids)
        assert data.startswith(b"http"), data
        for at, step in enumerate(result.trace.steps):
            row = rows[result.token_ids[:at]]
            rest = b"http"[len(TOKENIZER.decode(result.token_ids[:at])) :]
            mask = np.array([goes_on(piece, rest) for piece in PIECES])
            weights = np.where(mask, np.exp(row), 0)
            assert step.choice.logprob == pytest.approx(math.log(weights[step.token_id] / weights.sum()))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=3), st.lists(st.integers(0, 7), max_size=4), st.booleans())
def test_the_allowed_tokens_are_those_that_go_on_with_the_text(cut: list[int], output: list[int], pieces: bool) -> None:
    text, written = TOKENIZER.decode(cut), TOKENIZER.decode(output)
    rest = text[len(written) :]
    expected = [i for i, piece in enumerate(PIECES) if goes_on(piece, rest, pieces)]
    if expected and any(goes_on(piece, text, pieces) for piece in PIECES):
        assert allowed(cut, output, pieces=pieces) == expected
    else:
        with pytest.raises((EmptySupport, PluginError), match="token_healing"):
            allowed(cut, output, pieces=pieces)


def test_a_prompt_is_cut_before_its_last_tokens_and_never_before_a_control_token() -> None:
    assert cut_prompt(TOKENIZER, [5, 6, 3]) == ([5, 6], [3])
    assert cut_prompt(TOKENIZER, [5, 6, 3], 2) == ([5], [6, 3])
    assert cut_prompt(TOKENIZER, [5, 6, 3], 9) == ([5], [6, 3])  # the first stays
    assert cut_prompt(TOKENIZER, [5, 9, 3], 9) == ([5, 9], [3])
    assert cut_prompt(TOKENIZER, [5, 9]) == ([5, 9], [])
    assert cut_prompt(TOKENIZER, [3]) == ([3], [])
    with pytest.raises(ParameterError, match="at least one token"):
        cut_prompt(TOKENIZER, [3], 0)


def test_the_vocabulary_is_sorted_once_for_a_tokenizer() -> None:
    class Counting(BytesTokenizer):
        asked = 0

        def token_bytes(self, token_id: int) -> bytes | None:
            self.asked += 1
            return super().token_bytes(token_id)

    tokenizer, dist = Counting(), Distribution.dense(np.zeros(257))
    for text, output in (("ab", []), ("ab", [97]), ("cd", [])):
        Chain([processor("token_healing", token_healing=text)]).apply(dist, context([0], output, tokenizer))
    assert tokenizer.asked < 257 + 10


@pytest.mark.real_model
def test_in_a_real_vocabulary_every_allowed_token_goes_on_with_the_text() -> None:
    pytest.importorskip("llama_cpp")
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=64)
    tokenizer = adapter.tokenizer
    ids = tokenizer.encode('The link is <a href="http:')
    prompt, cut = cut_prompt(tokenizer, ids)
    text = tokenizer.decode(cut)
    chain = Chain([processor("token_healing", token_healing=cut)], "greedy")
    healed = Session(adapter, chain).generate(prompt, max_tokens=4)
    assert tokenizer.decode(healed.token_ids).startswith(text)
    dist = chain.apply(Distribution.dense(np.zeros(tokenizer.vocab_size)), context(prompt, [], tokenizer))
    words = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
    expected = [i for i, w in enumerate(words) if w and (w.startswith(text) or text.startswith(w))]
    assert sorted(dist.support().tolist()) == expected and len(expected) > 2
    adapter.close()


def test_what_cannot_be_written_is_an_error() -> None:
    with pytest.raises(PluginError, match=r"the tokens \(9,\) have no text"):
        allowed([9], [])
    with pytest.raises(PluginError, match="needs a tokenizer"):
        scores("token_healing", np.zeros(3, dtype=np.float32), context([0]), token_healing="a")
    for value in ("", [], [-1], 3):
        with pytest.raises(ParameterError, match="token_healing"):
            processor("token_healing", token_healing=value)


def test_it_keeps_the_contract() -> None:
    tokenizer = PiecesTokenizer([b"a", b"b", b"ab", b"abc", *[b"x%d" % i for i in range(2996)]])
    ctxs = [Context(TokenIds([0]), TokenIds(o), tokenizer) for o in ([], [0], [1, 1])]

    def fits(dist: Distribution) -> bool:
        return dist.vocab_size == 3000

    dists = [Distribution.dense(np.random.default_rng(0).normal(0, 3, 3000)), Distribution.dense(np.zeros(3000))]
    assert all(map(fits, dists))
    plugin = processor("token_healing", token_healing="ab")
    assert check_processor(plugin, names_ids=True, dists=dists, contexts=ctxs) >= 4
    assert processor("token_healing", **Chain([plugin]).describe()["processors"][0]["params"]) == plugin


def test_on_a_head_it_asks_for_the_tokens_it_allows() -> None:
    chain = Chain([processor("token_healing", token_healing="http")])
    ctx = context([5], [], TOKENIZER)
    assert chain.need(ctx) == Disclosure(None, (0, 3, 4))
    assert chain.need(context([5], [3], TOKENIZER)) == decodekit.CHEAP
    with pytest.raises(Undisclosed) as caught:
        chain.apply(Distribution.head([3, 5], np.log([0.5, 0.3]), 10), ctx)
    assert caught.value.need == Disclosure(2, (0, 4))
