"""One call is a run: the same seed gives the same tokens by every road, alone or in any company."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import AdapterError, ParameterError, Prefix, Randomness, Session
from decodekit.draw.samplers import multinomial
from decodekit.testing import PiecesTokenizer
from tests.session.conftest import Around, V, chain, plain, table, wide

TEMPERED = (("temperature", {"temperature": 0.8}), ("top_p", {"top_p": 0.95}))
CHAINS = [(), TEMPERED, (("repetition_penalty", {"repetition_penalty": 1.3}), ("top_k", {"top_k": 12}))]


def essence(steps):
    """Everything of a step but the time it took."""
    return [(s.index, s.token_id, s.text, s.raw, s.entries, s.draw, s.choice, s.stream) for s in steps]


@pytest.mark.parametrize("parts", CHAINS)
@pytest.mark.parametrize("sampler", ["multinomial", "inverse_cdf", "greedy"])
def test_generate_stream_and_generate_many_are_one_run(ngram, parts, sampler):
    session = Session(ngram, chain(*parts, sampler=sampler), seed=3)
    result = session.generate("the ", max_tokens=20)
    steps = list(session.stream("the ", max_tokens=20))
    ((row,),) = session.generate_many(["the "], max_tokens=20)
    assert essence(steps) == essence(result.trace.steps) == essence(row.trace.steps)
    assert result.token_ids == row.token_ids == tuple(step.token_id for step in steps)
    assert result.text == row.text == "".join(step.text for step in steps)
    assert result.finish_reason == row.finish_reason


def test_the_tokens_are_those_the_specification_gives():
    """By hand: the adapter's row, the noise of (seed, stream, step), the largest sum."""
    result = Session(table(), seed=11).generate([4, 9], max_tokens=6, stream=5)
    ids = [4, 9]
    for step, token in enumerate(result.token_ids):
        perturbed = wide(ids).astype(float) + Randomness(11, 5).gumbel(range(V), step=step)
        assert token == int(perturbed.argmax())
        ids.append(token)


def test_no_seed_is_a_fresh_seed_each_call_and_it_is_recorded():
    session = Session(table())
    first, second = (session.generate([1], max_tokens=12) for _ in range(2))
    assert first.seed != second.seed
    assert first.seed == first.trace.header.seed
    assert session.generate([1], max_tokens=12, seed=first.seed).token_ids == first.token_ids


def test_seed_zero_is_a_seed():
    session = Session(table(), seed=0)
    assert session.generate([1], max_tokens=12).seed == 0
    assert Session(table(), seed=9).generate([1], max_tokens=4, seed=0).seed == 0
    assert session.generate([1], max_tokens=12).token_ids == session.generate([1], max_tokens=12).token_ids


def test_a_call_does_not_depend_on_the_calls_before():
    session = Session(table(), chain(*TEMPERED), seed=5)
    first = session.generate([1, 2], max_tokens=10).token_ids
    session.generate([3], max_tokens=7)
    list(session.stream([4], max_tokens=3))
    assert session.generate([1, 2], max_tokens=10).token_ids == first


def test_other_streams_and_other_seeds_are_other_noise():
    session = Session(table(), seed=5)
    runs = [session.generate([1], max_tokens=12, stream=s).token_ids for s in range(6)]
    runs += [session.generate([1], max_tokens=12, seed=s).token_ids for s in range(6, 12)]
    assert len(set(runs)) == 12


def test_sample_j_of_prompt_i_has_the_stream_of_both():
    session = Session(table(), seed=5)
    rows = session.generate_many([[1], [2], [3]], n=2, max_tokens=6)
    assert [[r.stream for r in row] for row in rows] == [[i << 32 | j for j in range(2)] for i in range(3)]
    for i, row in enumerate(rows):
        for result in row:
            alone = session.generate([i + 1], max_tokens=6, stream=result.stream)
            assert alone.token_ids == result.token_ids


def test_more_prompts_and_more_samples_shift_nothing():
    session = Session(table(), chain(*TEMPERED), seed=5)
    small = session.generate_many([[1], [2]], n=2, max_tokens=8)
    large = session.generate_many([[1], [2], [3], [4]], n=5, max_tokens=8)
    assert [[r.token_ids for r in row[:2]] for row in large[:2]] == [[r.token_ids for r in row] for row in small]


def test_samples_of_one_prompt_differ():
    ((*results,),) = Session(table(), seed=5).generate_many([[1]], n=8, max_tokens=12)
    assert len({result.token_ids for result in results}) == 8


PROMPTS = [[1], [2, 3], [4, 5, 6], [1], [7, 8], [9], [10, 11, 12, 13], [14]]


def alone(prompt, index):
    return Session(table(), chain(*TEMPERED), seed=5).generate(prompt, max_tokens=9, stream=index << 32)


@pytest.mark.parametrize("concurrency", [1, 2, 3, 16, 0])
def test_a_row_is_the_same_alone_and_at_its_place_of_eight_in_any_window(concurrency):
    adapter = Around(table(), plain, concurrency=concurrency)
    rows = Session(adapter, chain(*TEMPERED), seed=5).generate_many(PROMPTS, max_tokens=9)
    for i, (result,) in enumerate(rows):
        expected = alone(PROMPTS[i], i)
        assert result.token_ids == expected.token_ids
        mine = [step for step in result.trace.steps if step.stream == i << 32]
        assert essence(mine) == essence(expected.trace.steps)
    assert max(len(prefixes) for prefixes, _ in adapter.asked) == min(max(concurrency, 1), 8)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_neither_the_adapters_schedule_nor_failing_mates_touch_a_row(rng: random.Random, concurrency):
    """The adapter answers in any order inside and fails some rows for good; the others are bit-equal."""
    failing = {i for i in range(8) if rng.random() < 0.3}
    prompts = [[*prompt, 40 + i] for i, prompt in enumerate(PROMPTS)]  # so that the adapter can tell them apart

    def act(inner, prefixes, wanted):
        order = rng.sample(range(len(prefixes)), len(prefixes))
        found = dict(zip(order, inner.predict([prefixes[i] for i in order], [wanted[i] for i in order]), strict=True))
        for i, prefix in enumerate(prefixes):
            culprit = next(i for i, prompt in enumerate(prompts) if prefix.token_ids[: len(prompt)] == tuple(prompt))
            if culprit in failing and len(prefix) >= len(prompts[culprit]) + 2:
                found[i] = AdapterError("this row died")
        return [found[i] for i in range(len(prefixes))]

    adapter = Around(table(), act, concurrency=concurrency)
    rows = Session(adapter, chain(*TEMPERED), seed=5).generate_many(prompts, max_tokens=5)
    for i, (result,) in enumerate(rows):
        expected = alone(prompts[i], i).token_ids[:5]
        if i in failing:
            assert (result.finish_reason, result.token_ids) == ("error", expected[:2])
            assert isinstance(result.error, AdapterError)
        else:
            assert (result.finish_reason, result.token_ids, result.error) == ("length", expected, None)


def test_the_order_of_the_prompts_moves_the_streams_and_nothing_else():
    session = Session(table(), seed=5)
    rows = session.generate_many(PROMPTS[::-1], max_tokens=6)
    for i, (result,) in enumerate(rows):
        assert result.token_ids == session.generate(PROMPTS[::-1][i], max_tokens=6, stream=i << 32).token_ids


def test_no_prompts_have_no_results():
    assert Session(table()).generate_many([], n=3) == []


def test_a_prompt_may_be_text_ids_an_array_or_a_prefix(ngram):
    import numpy as np

    session = Session(ngram, seed=1)
    expected = session.generate("the", max_tokens=8)
    for prompt in (list(b"the"), tuple(b"the"), np.frombuffer(b"the", dtype=np.uint8), Prefix(b"the"), range(116, 117)):
        result = session.generate(prompt, max_tokens=8)
        if len(prompt) == 3:
            assert result.token_ids == expected.token_ids
    assert expected.trace.header.prompts == [list(b"the")]


def test_a_text_starts_with_the_models_own_begin_of_text_token():
    tokenizer = PiecesTokenizer([None, *(bytes([64 + i]) for i in range(1, V))], bos_id=0)
    session = Session(table(tokenizer=tokenizer), seed=1)
    assert session.generate("AB", max_tokens=1).trace.header.prompts == [[0, 1, 2]]
    assert session.generate("", max_tokens=1).trace.header.prompts == [[0]]
    assert session.generate([], max_tokens=1).trace.header.prompts == [[0]]
    assert session.generate([1], max_tokens=1).trace.header.prompts == [[1]]


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("", "prompt 0 is empty"),
        ([], "prompt 0 is empty"),
        (Prefix(), "prompt 0 is empty"),
        ([1, 257], "token id 257 lies outside the vocabulary of 257"),
        ([-1], "must lie in"),
        ([0.5], "integers"),
        (["a"], "list of texts"),
        ([True, False], "integers"),
        ([{"role": "user", "content": "hi"}], "template"),
        ("\ud800", "prompt 0 is not valid Unicode text"),
        (7, "not 7$"),
        (b"bytes", "not b'bytes'"),
        (None, "not None$"),
        ({"role": "user"}, "a message stands in a list"),
        (iter([1]), "not <list_iterator"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "__next__") else repr(value),
)
def test_what_is_no_prompt_is_refused_before_anything_is_asked(ngram, prompt, why):
    from decodekit import ConfigError

    adapter = Around(ngram, plain)
    session = Session(adapter)
    for call in (session.generate, session.stream, lambda prompt: session.generate_many([prompt])):
        with pytest.raises(ConfigError, match=why):
            call(prompt)
    assert adapter.asked == []


def test_texts_and_messages_need_a_tokenizer():
    for prompt in ("text", [{"role": "user", "content": "hi"}]):
        with pytest.raises(ParameterError, match="no tokenizer"):
            Session(table()).generate(prompt)
    with pytest.raises(ParameterError, match="stop strings need a tokenizer"):
        Session(table()).generate([1], stop="x")


def test_the_bad_prompt_of_a_batch_is_named():
    with pytest.raises(ParameterError, match="prompt 2"):
        Session(table()).generate_many([[1], [2], [99]])


def test_generate_many_takes_a_list_of_prompts_and_not_one(ngram):
    for prompts in ("the", Prefix([1])):
        with pytest.raises(ParameterError, match="takes a list of prompts"):
            Session(ngram).generate_many(prompts)
    with pytest.raises(ParameterError, match="prompt 0: a prompt is text"):
        Session(ngram).generate_many([1, 2, 3])


@pytest.mark.parametrize("n", [0, -1, True, 1.5, 10**7])
def test_the_number_of_samples_is_checked(n):
    with pytest.raises(ParameterError, match="n must be"):
        Session(table()).generate_many([[1]], n=n)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": -1},
        {"max_tokens": True},
        {"max_tokens": 2.5},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.5},
        {"stream": -1},
        {"stream": 2**64},
        {"stop": ""},
        {"stop": ["a", ""]},
        {"stop": ["a", 3]},
        {"stop_ids": ["a"]},
        {"stop_ids": [-1]},
        {"level": "everything"},
        {"deadline": -1},
        {"deadline": float("nan")},
        {"deadline": "soon"},
        {"ban": 5},
        {"ban": "word"},
        {"until": 5},
        {"trace": 5},
    ],
    ids=str,
)
def test_a_parameter_out_of_range_is_refused_at_the_call(ngram, wrong):
    session = Session(ngram)
    for call in (session.generate, session.stream, lambda p, **k: session.generate_many([p], **k)):
        with pytest.raises(ParameterError):
            call("the", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_undisclosed": "ignore"},
        {"seed": -1},
        {"max_tokens": -1},
        {"top_logprobs": -1},
        {"top_logprobs": True},
        {"top_logprobs": 2.5},
    ],
)
def test_a_session_is_checked_when_it_is_made(wrong):
    with pytest.raises(ParameterError):
        Session(table(), **wrong)


def test_metadata_reaches_the_processors():
    seen = []

    def looks(dist, ctx):
        seen.append((ctx.metadata["user"], ctx.step, tuple(ctx.prompt_ids), tuple(ctx.output_ids)))
        return dist

    from decodekit import Chain

    result = Session(table(), Chain([looks]), seed=1, metadata={"user": "ada"}).generate([1, 2], max_tokens=3)
    assert seen == [("ada", i, (1, 2), result.token_ids[:i]) for i in range(3)]


def test_states_belong_to_a_sequence_and_not_to_the_chain():
    class Counts:
        def initial(self, ctx):
            return 0

        def __call__(self, dist, ctx, state):
            assert state == ctx.step
            return dist.scaled(1 + state / 10)

        def advance(self, state, choice, ctx):
            return state + 1

    from decodekit import Chain

    session = Session(table(), Chain([Counts()]), seed=1)
    rows = session.generate_many([[1], [2]], n=2, max_tokens=5)
    assert rows[1][1].token_ids == session.generate([2], max_tokens=5, stream=1 << 32 | 1).token_ids


def test_a_foreign_sampler_decides_like_a_core_one():
    from decodekit import Chain

    def second_best(dist, ctx, randomness):
        choice = multinomial(dist, ctx, randomness)
        return replace(choice, token_id=choice.runner_up, logprob=dist.logprob(choice.runner_up), draw=None)

    mine = Session(table(), Chain([], second_best), seed=1).generate([1], max_tokens=1)
    assert mine.token_ids == (Session(table(), seed=1).generate([1], max_tokens=1).trace.steps[0].choice.runner_up,)


@pytest.mark.parametrize("deadline", [float("inf"), 1e12, 4e9])
def test_a_deadline_beyond_what_a_machine_can_wait_is_none(ngram, deadline):
    result = Session(ngram, seed=1).generate("the", max_tokens=2, deadline=deadline)
    assert (result.finish_reason, len(result.token_ids)) == ("length", 2)
