"""DRY against llama.cpp's own, with and without a vocabulary, and against its definition in plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import Chain, Context, Disclosure, Distribution, ParameterError, PluginError, Undisclosed, processor
from decodekit.draw.choice import Choice
from decodekit.draw.context import TokenIds
from decodekit.testing import BytesTokenizer, PiecesTokenizer, check_processor
from decodekit_sampling.breakers import Breakers, overlapping
from decodekit_sampling.dry import suffix_matches

from .cases import TIGHT, apply, cases, context, history, scores, split

short = st.lists(st.integers(0, 3), max_size=40)


def penalties(
    ids: list[int], size: int, *, dry: float, base: float, allowed: int, breakers: set[tuple[int, ...]] = frozenset()
) -> np.ndarray:
    """The definition: for each token the longest repetition it continues, by comparing everything with everything."""
    found = np.zeros(size)
    nearest = [
        len(ids) - at - len(breaker)
        for at in range(len(ids))
        for breaker in breakers
        if tuple(ids[at : at + len(breaker)]) == breaker
    ]
    limit = min(nearest, default=len(ids))
    if len(ids) <= allowed or limit < allowed:
        return found
    longest: dict[int, int] = {}
    for end in range(len(ids) - 1):
        length = 0
        while length <= end and ids[end - length] == ids[-1 - length]:
            length += 1
        longest[ids[end + 1]] = max(longest.get(ids[end + 1], 0), min(length, limit))
    for token, length in longest.items():
        if length >= allowed and (token,) not in breakers:
            found[token] = dry * base ** (length - allowed)
    return found


# -- the definition ------------------------------------------------------------------------------------------------


def test_by_hand() -> None:
    # The last three tokens 1 2 3 stood before a 4, the last one alone before a 5 too: three nats, doubled once.
    row = np.zeros(6, dtype=np.float32)
    ctx = context([1, 2, 3, 4, 3, 5], [1, 2, 3])
    after = scores("dry", row, ctx, dry=3.0, base=2.0, allowed_length=2, breakers=[])
    assert after.tolist() == [0, 0, 0, 0, -6.0, 0]
    after = scores("dry", row, ctx, dry=3.0, base=2.0, allowed_length=1, breakers=[])
    assert after.tolist() == [0, 0, 0, 0, -12.0, -3.0]
    # A breaker between 2 and 3 leaves one token that counts; as a token by itself it is never penalised.
    assert scores("dry", row, ctx, dry=3.0, base=2.0, allowed_length=1, breakers=[[2]])[4] == -3.0
    assert scores("dry", row, ctx, dry=3.0, base=2.0, allowed_length=1, breakers=[[4]])[4] == 0.0
    assert not scores("dry", row, ctx, dry=3.0, base=2.0, allowed_length=1, breakers=[[2, 3]]).any()


@settings(max_examples=300, deadline=None)
@given(
    short,
    short,
    st.integers(0, 4),
    st.none() | st.integers(1, 30),
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=1), max_size=2),
    st.sampled_from(["both", "output", "prompt"]),
)
def test_it_is_its_definition(
    prompt: list[int], output: list[int], allowed: int, window: int | None, breakers: list[list[int]], scope: str
) -> None:
    ids = {"both": prompt + output, "output": output, "prompt": prompt}[scope][-(window or 10**9) :]
    known = {tuple(breaker) for breaker in breakers}
    expected = -penalties(ids, 4, dry=0.5, base=1.5, allowed=allowed, breakers=known)
    got = scores(
        "dry",
        np.zeros(4, dtype=np.float32),
        context(prompt, output),
        dry=0.5,
        base=1.5,
        allowed_length=allowed,
        window=window,
        breakers=breakers,
        scope=scope,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(short)
def test_suffix_matches_are_what_they_say(ids: list[int]) -> None:
    expected = []
    for end in range(len(ids)):
        length = 0
        while end < len(ids) - 1 and length <= end and ids[end - length] == ids[-1 - length]:
            length += 1
        expected.append(length)
    assert suffix_matches(np.array(ids, dtype=np.int64)).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(short, short, st.none() | st.integers(1, 12), st.sampled_from(["both", "output", "prompt"]))
def test_a_state_carried_token_by_token_says_what_a_fresh_one_says(
    prompt: list[int], output: list[int], window: int | None, scope: str
) -> None:
    dry = decodekit.processor("dry", dry=1.0, allowed_length=1, window=window, scope=scope, breakers=[])
    dist = Distribution.dense(np.zeros(4))
    ctx = context(prompt, [])
    states = [dry.initial(ctx)]
    for at, token in enumerate(output):
        before = states[-1].copy()
        states.append(dry.advance(states[-1], chosen(token), ctx))
        assert (states[-2] == before).all() and not states[-1].flags.writeable
        ctx = context(prompt, output[: at + 1])
        assert dry(dist, ctx, states[-1]).scores.tolist() == dry(dist, ctx, dry.initial(ctx)).scores.tolist()


def chosen(token: int) -> Choice:
    return Choice(token, None)


# -- llama.cpp -----------------------------------------------------------------------------------------------------


def test_it_is_llama_cpps_law() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    moved = 0
    for rng, row, ids in cases(500, seed=1):
        dry = float(rng.choice([0.5, 0.75, 4.0]))
        base = float(np.float32(rng.choice([1.0, 1.0000005, 1.1, 1.75, 8.0, 100.0])))
        allowed, last_n = int(rng.integers(0, 5)), int(rng.integers(1, 100))
        c = llama.build("dry", None, dry, base, allowed, last_n, None, 0)
        llama.accept(c, ids)
        theirs = llama.scores(c, row)
        ctx = context(*split(rng, ids))
        ours = scores("dry", row, ctx, dry=dry, base=base, allowed_length=allowed, window=last_n, breakers=[])
        beyond = np.isneginf(theirs)  # the product left float32; ours is finite, and as good as a ban
        assert (ours[beyond] < -1e38).all()
        np.testing.assert_allclose(ours[~beyond], theirs[~beyond], **TIGHT)
        moved += bool((theirs != row).any())
    assert moved > 250


def test_the_power_stops_growing_where_llama_cpps_does() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    row, ids = np.zeros(3, dtype=np.float32), [1] * 300
    for base in (1.75, 2.0, 10.0):
        c = llama.build("dry", None, 0.5, base, 2, 1000, None, 0)
        llama.accept(c, ids)
        theirs = llama.scores(c, row)
        ours = scores("dry", row, context(ids), dry=0.5, base=base, breakers=[])
        assert 1e36 < -ours[1] < 1e39
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)  # a power of 100 and more, of a base in float32


def test_a_negative_window_that_llama_cpp_takes_for_off_is_refused() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    row, ids = np.zeros(3, dtype=np.float32), [1, 2, 1, 2, 1]
    for last_n in (-1, -5, 0):
        c = llama.build("dry", None, 1.0, 1.75, 1, last_n, None, 0)
        llama.accept(c, ids)
        assert not llama.scores(c, row).any()  # no penalty, and no word
        with pytest.raises(ParameterError, match="processor 'dry': window"):
            processor("dry", dry=1.0, window=last_n)
    assert scores("dry", row, context(ids), dry=1.0, allowed_length=1, breakers=[])[2] == -(1.75**2)


@pytest.fixture(scope="module")
def smollm2() -> Iterator[tuple[Any, Any]]:
    """The tokenizer of SmolLM2, and llama.cpp's vocabulary of the same file."""
    llama_cpp = pytest.importorskip("llama_cpp")
    from tests.adapters.llamacpp.bare_loop import model_path

    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=16)
    model = llama_cpp.llama_model_load_from_file(model_path().encode(), parameters)
    yield adapter.tokenizer, llama_cpp.llama_model_get_vocab(model)
    llama_cpp.llama_model_free(model)
    adapter.close()


@pytest.mark.real_model
@pytest.mark.parametrize(
    "breakers", [["\n", ":", '"', "*"], ["user:", "\n\n", "###", "the end"], ["<|im_end|>"], ["ab", "abc", "c"]]
)
def test_breakers_by_text_are_llama_cpps_in_a_real_vocabulary(smollm2: tuple[Any, Any], breakers: list[str]) -> None:

    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    tokenizer, vocab = smollm2
    rng, limited = np.random.default_rng(5), 0
    row = rng.normal(0, 4, tokenizer.vocab_size).astype(np.float32)
    words = [" the", " cat", " sat", "user", ":", "\n", "\n\n", " ###", "##", "#", "the end", " the en", '"', "* ",
             ".\n", "<|im_end|>", "<|im_start|>", "ab", "c", "a", "xabc", "abcd", " user:", "aab"]  # fmt: skip
    pieces = [tokenizer.encode(word, special=True) for word in words]
    plain = Chain([processor("dry", dry=0.75, allowed_length=1, breakers=[])])
    chain = Chain([processor("dry", dry=0.75, allowed_length=1, breakers=breakers)])
    array = llama.texts(breakers)
    c = llama.build("dry", vocab, 0.75, 1.75, 1, 64, *array)
    for _ in range(250):
        llama.C.llama_sampler_reset(c.handle)
        ids = [token for k in history(rng, len(words), 30) for token in pieces[k]][:64]
        llama.accept(c, ids)
        dist, ctx = Distribution.dense(row), context(ids, tokenizer=tokenizer)
        ours = chain.apply(dist, ctx).scores
        np.testing.assert_allclose(ours, llama.scores(c, row), **TIGHT)
        limited += not np.array_equal(ours, plain.apply(dist, ctx).scores)
    assert limited > 10


# -- breakers ------------------------------------------------------------------------------------------------------


def test_a_text_is_found_in_every_token_that_overlaps_it() -> None:
    tokenizer = PiecesTokenizer([b"a", b"b", b"c", b"xab", b"abx", b"bc", b"ca", b"aab", b"<", b"|", b">", None])
    assert sorted(overlapping(tokenizer, "b")) == [(1,), (3,), (4,), (5,), (7,)]
    assert sorted(overlapping(tokenizer, "ab")) == [(0, 1), (3,), (4,), (6, 1), (7,)]
    assert sorted(overlapping(tokenizer, "abc")) == [(0, 5), (3, 2), (6, 5), (7, 2)]


def test_a_control_token_is_found_by_its_full_name() -> None:
    class Marked(PiecesTokenizer):
        def encode(self, text: str, *, special: bool = False) -> list[int]:
            return [3] if special and text == "<end>" else super().encode(text)

    tokenizer = Marked([b"<", b"end", b">", None])
    assert overlapping(tokenizer, "<end>") == [(0, 1, 2), (3,)]


def test_a_token_that_ends_inside_a_character_is_a_beginning_where_bytes_have_tokens() -> None:
    assert overlapping(BytesTokenizer(), "é") == [tuple("é".encode())]
    assert overlapping(BytesTokenizer(), "é=") == [tuple("é=".encode())]
    assert overlapping(PiecesTokenizer(["é".encode(), "é".encode()[:1], b"a"]), "é") == [(0,)]


def test_the_vocabulary_is_scanned_once_for_a_tokenizer() -> None:
    class Counting(BytesTokenizer):
        asked = 0

        def token_bytes(self, token_id: int) -> bytes | None:
            self.asked += 1
            return super().token_bytes(token_id)

    tokenizer = Counting()
    dry = processor("dry", dry=1.0)
    for plugin in (dry, dry, processor("dry", dry=2.0)):
        for output in ([], [1, 2]):
            apply_once(plugin, context([1, 2, 1], output, tokenizer))
    assert 257 <= tokenizer.asked < 300
    other = Counting()
    apply_once(dry, context([1, 2], [], other))
    assert other.asked == tokenizer.asked


def apply_once(plugin: Any, ctx: Context) -> None:
    Chain([plugin]).apply(Distribution.dense(np.zeros(257)), ctx)


def test_of_breakers_that_begin_together_the_longest_counts() -> None:
    assert Breakers([(1,), (1, 2)]).since(np.array([0, 1, 2])) == 0
    assert Breakers([(1,), (1, 2)]).since(np.array([0, 1, 3])) == 1
    assert Breakers([(1, 2)]).since(np.array([0, 1])) == 2  # not whole yet


@settings(max_examples=200, deadline=None)
@given(short, st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple), max_size=4))
def test_since_counts_the_tokens_after_the_last_breaker(ids: list[int], sequences: list[tuple[int, ...]]) -> None:
    # The last first token of a breaker that is whole decides; of those that begin there the longest.
    ends = {
        at: max(len(s) for s in sequences if tuple(ids[at : at + len(s)]) == s)
        for at in range(len(ids))
        if any(tuple(ids[at : at + len(s)]) == s for s in sequences)
    }
    expected = len(ids) - max(ends) - ends[max(ends)] if ends else len(ids)
    assert Breakers(sequences).since(np.array(ids, dtype=np.int64)) == expected


# -- the contract --------------------------------------------------------------------------------------------------


def test_it_keeps_the_contract() -> None:
    ctxs = [Context(TokenIds(p), TokenIds(o)) for p, o in (([0], []), ([0, 1, 0], [1, 0]), ([1, 0, 1, 1], [0, 1]))]
    for parameters in ({}, {"window": 3}, {"allowed_length": 0}, {"scope": "output"}, {"breakers": [[1]]}):
        plugin = processor("dry", **{"dry": 0.8, "breakers": [], "allowed_length": 1, **parameters})
        assert check_processor(plugin, contexts=ctxs, names_ids="breakers" in parameters) >= 30


def test_on_a_head_it_asks_for_the_tokens_that_would_repeat() -> None:
    head = Distribution.head([5, 6], np.log([0.5, 0.2]), 9)
    ctx = context([1, 2, 3, 1, 2])
    with pytest.raises(Undisclosed) as caught:
        apply("dry", head, ctx, dry=1.0, breakers=[])
    assert caught.value.need == Disclosure(2, (3,))
    assert Chain([processor("dry", dry=1.0, breakers=[])]).need(ctx) == Disclosure(None, (3,))
    assert apply("dry", head, context([1, 2, 3]), dry=1.0, breakers=[]) is head


def test_a_text_needs_a_tokenizer_and_a_breaker_is_short() -> None:
    with pytest.raises(PluginError, match=r"the breaker '\\n' needs a tokenizer.*give token ids"):
        apply("dry", Distribution.dense([0.0, 0.0]), context([0]), dry=1.0)
    with pytest.raises(ParameterError, match="at most 40 bytes"):
        processor("dry", dry=1.0, breakers=["x" * 41])
    for breakers in ([""], [[]], "ab", [[-1]]):
        with pytest.raises(ParameterError, match="breakers"):
            processor("dry", dry=1.0, breakers=breakers)


def test_the_record_builds_the_same_plugin() -> None:
    plugin = processor("dry", dry=1.0, breakers=["\n", [1, 2]])
    described = Chain([plugin]).describe()["processors"][0]["params"]
    assert processor("dry", **described) == plugin
