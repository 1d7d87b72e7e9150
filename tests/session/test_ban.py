"""Banned phrases: the law by exact enumeration, the record, and what is refused."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import Chain, ParameterError, PluginError, Session, processor, read_trace, replay, verify
from decodekit.session.bans import Ban
from decodekit.testing import BytesTokenizer, NGramAdapter, PiecesTokenizer, TableAdapter

PIECES = [b"a", b"b", b"ab", b"c"]
TOKENIZER = PiecesTokenizer(PIECES)
LENGTH = 4


def row(ids: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([1, *ids]).normal(0, 0.7, 4)


def model() -> TableAdapter:
    return TableAdapter(row, 4, tokenizer=TOKENIZER)


def law(phrases: list[bytes]) -> dict[tuple[int, ...], float]:
    """The law stated in `decodekit.session.bans`, as an absorbing Markov chain over prefixes, solved exactly.

    From a prefix a token is drawn; if that completes a phrase, the state is the prefix before the phrase's first
    token, else the longer prefix. Outputs of four tokens absorb.
    """
    inner = [ids for n in range(LENGTH) for ids in itertools.product(range(4), repeat=n)]
    ends = list(itertools.product(range(4), repeat=LENGTH))
    where = {ids: i for i, ids in enumerate(inner)}
    moves, absorbed = np.zeros((len(inner), len(inner))), np.zeros((len(inner), len(ends)))
    for ids in inner:
        weights = np.exp(row((0, *ids)))
        for token, p in enumerate(weights / weights.sum()):
            grown = (*ids, token)
            data = b"".join(PIECES[t] for t in grown)
            starts = [data.find(phrase) for phrase in phrases if phrase in data]
            if starts:
                kept = next(
                    n for n in range(len(grown)) if len(b"".join(PIECES[t] for t in grown[: n + 1])) > min(starts)
                )
                moves[where[ids], where[grown[:kept]]] += p
            elif len(grown) == LENGTH:
                absorbed[where[ids], ends.index(grown)] += p
            else:
                moves[where[ids], where[grown]] += p
    solved = np.linalg.solve(np.eye(len(inner)) - moves, absorbed)[0]
    return {ids: float(p) for ids, p in zip(ends, solved, strict=True)}


@pytest.mark.parametrize("phrases", [["ab"], ["bc", "aab"], ["abc", "ca"]])
def test_the_law_is_the_one_stated(phrases: list[str]) -> None:
    expected = law([phrase.encode() for phrase in phrases])
    assert sum(expected.values()) == pytest.approx(1)
    count = 2000
    results = Session(model(), Chain()).generate_many([[0]], n=count, max_tokens=LENGTH, ban=phrases, seed=11)[0]
    seen = Counter(result.token_ids for result in results)
    assert all(phrase not in result.text for result in results for phrase in phrases)
    assert sum(len(step.abandoned) for step in results[0].trace.steps) > 200
    likely = {ids for ids, p in expected.items() if p * count >= 5}
    cells = [(seen[ids], expected[ids] * count) for ids in likely]
    cells.append((count - sum(seen[ids] for ids in likely), count * (1 - sum(expected[ids] for ids in likely))))
    statistic = sum((got - want) ** 2 / want for got, want in cells)
    freedom = len(cells) - 1
    # Wilson and Hilferty: the cube root is nearly normal. 5 standard deviations: p < 3e-7.
    z = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert z < 5, f"chi-square {statistic:.1f} on {freedom}"
    plain = law([])  # the test can tell: without the ban the law is another
    assert (
        sum((got - plain[ids] * count) ** 2 / (plain[ids] * count) for ids in likely if (got := seen[ids]))
        > 3 * freedom
    )


def test_one_phrase_by_hand() -> None:
    """'ab' as two tokens: a keeps its share, less what would have gone on with b; the rest is made whole again."""
    tables = {(0,): [0.5, 0.3, 0.0, 0.2], (0, 0): [0.25, 0.5, 0.0, 0.25]}

    def rows(ids: tuple[int, ...]) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.array(tables.get(ids, [0.25] * 4)))

    count = 2000
    session = Session(TableAdapter(rows, 4, tokenizer=TOKENIZER), Chain())
    results = session.generate_many([[0]], n=count, max_tokens=2, ban=["ab"], seed=5)[0]
    first = Counter(result.token_ids[0] for result in results)
    for token, p in ((0, 0.5 * 0.5 / 0.75), (1, 0.3 / 0.75), (3, 0.2 / 0.75)):
        assert abs(first[token] - count * p) < 5 * math.sqrt(count * p * (1 - p))
    assert first[0] == sum(result.token_ids[:2] in ((0, 0), (0, 3)) for result in results)


# -- the record ----------------------------------------------------------------------------------------------------

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4


def banned_run(path: Path | None = None, **options: Any) -> decodekit.Result:
    session = Session(NGramAdapter(TEXT), Chain([processor("temperature", temperature=1.1)]), seed=3)
    return session.generate("the ", max_tokens=60, ban=["cat", "sat on"], trace=path, **options)


def test_the_record_keeps_the_abandoned_branches_and_proves_the_rest(tmp_path: Path) -> None:
    result = banned_run(tmp_path / "run.jsonl")
    assert "cat" not in result.text and "sat on" not in result.text and len(result.token_ids) == 60
    trace = read_trace(tmp_path / "run.jsonl")
    branches = [branch for step in trace.steps for branch in step.abandoned]
    assert branches == [branch for step in result.trace.steps for branch in step.abandoned] and len(branches) > 1
    for branch in branches:
        assert branch.why in bytes(branch.token_ids).decode() and branch.why in ("cat", "sat on")
    assert trace.header.stop["ban"] == ["cat", "sat on"]
    # The attempt is how many branches were left before, in order.
    so_far = 0
    for step in trace.steps:
        so_far += len(step.abandoned)
        assert step.draw is not None and step.draw.attempt == so_far
    assert [branch.attempt for branch in branches] == sorted(branch.attempt for branch in branches)
    assert verify(tmp_path / "run.jsonl").word == "proved"
    assert replay(trace, adapter=NGramAdapter(TEXT)).equal == 60
    assert replay(trace).equal == 60


def test_steps_are_handed_out_when_nothing_can_take_them_back() -> None:
    session = Session(NGramAdapter(TEXT), Chain([processor("temperature", temperature=1.1)]), seed=3)
    stream = session.stream("the ", max_tokens=60, ban=["cat", "sat on"])
    steps = list(stream)
    result = banned_run()
    assert [step.token_id for step in steps] == list(result.token_ids)
    assert "".join(step.text for step in steps) == result.text
    assert [step.index for step in steps] == list(range(60))


def test_a_run_that_is_left_early_has_only_what_was_handed_out(tmp_path: Path) -> None:
    session = Session(NGramAdapter("cacacacab" * 5), Chain(), seed=1)
    stream = session.stream("ca", max_tokens=30, ban=["acacacab"], trace=tmp_path / "run.jsonl")
    taken = [next(stream).token_id for _ in range(3)]
    stream.close()
    trace = read_trace(tmp_path / "run.jsonl")
    assert trace.token_ids() == taken and trace.footer is not None and trace.footer.ends[0].tokens == 3


def test_without_a_banned_phrase_in_sight_nothing_changes() -> None:
    session = Session(NGramAdapter(TEXT), Chain(), seed=3)
    plain = session.generate("the ", max_tokens=40)
    watched = session.generate("the ", max_tokens=40, ban=["zzz"])
    assert plain.token_ids == watched.token_ids and plain.text == watched.text
    assert not any(step.abandoned for step in watched.trace.steps)


def test_an_end_that_completes_a_phrase_is_taken_back_too() -> None:
    for seed in range(30):
        result = Session(model(), Chain()).generate([0], max_tokens=2, ban=["ab"], seed=seed)
        assert "ab" not in result.text and len(result.token_ids) == 2 and result.finish_reason == "length"
    stopped = Session(model(), Chain()).generate([0], max_tokens=50, ban=["ab"], stop=["cc"], seed=1)
    assert stopped.finish_reason == "stop" and "ab" not in stopped.text and "cc" not in stopped.text


# -- where a phrase begins -----------------------------------------------------------------------------------------


words = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3)


def text_of(ids: list[int]) -> str:
    return b"".join(PIECES[i] for i in ids).decode()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=8), words)
def test_the_first_phrase_is_found_in_its_token(ids: list[int], phrases: list[str]) -> None:
    text = text_of(ids)
    starts = [text.find(phrase) for phrase in phrases if phrase in text]
    found = Ban(phrases, TOKENIZER).find(ids)
    if not starts:
        assert found is None
        return
    assert found is not None and text.find(found[1]) == min(starts)
    assert len(text_of(ids[: found[0]])) <= min(starts) < len(text_of(ids[: found[0] + 1]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=4), words)
def test_what_is_settled_is_what_no_continuation_can_take_back(ids: list[int], phrases: list[str]) -> None:
    ban = Ban(phrases, TOKENIZER)
    if ban.find(ids) is not None:
        return
    # Play: from any state append any text of up to three bytes; a phrase takes back to its token. How far does it go?
    least, seen, open_states = len(ids), {tuple(ids)}, [tuple(ids)]
    while open_states:
        state = open_states.pop()
        for more in itertools.chain.from_iterable(itertools.product((0, 1, 3), repeat=n) for n in (1, 2, 3)):
            found = ban.find([*state, *more])
            if found is not None and found[0] < len(state) and (back := state[: found[0]]) not in seen:
                seen.add(back)
                open_states.append(back)
                least = min(least, found[0])
    assert ban.settled(ids) == least


# -- what is refused -----------------------------------------------------------------------------------------------


def test_a_greedy_choice_would_come_again() -> None:
    adapter = TableAdapter({(): [0.0, -1.0, -2.0, -3.0]}, 4, tokenizer=TOKENIZER)
    with pytest.raises(
        PluginError, match="plugin 'ban', step 0: the phrase 'aa' was written, and the choice is not random here"
    ) as caught:
        Session(adapter, Chain(sampler="greedy")).generate([0], max_tokens=5, ban=["aa"])
    assert caught.value.partial is not None and caught.value.partial.token_ids == ()


def test_a_model_that_writes_nothing_else_ends_in_an_error() -> None:
    adapter = TableAdapter({(): [20.0, -20.0, -20.0, -20.0]}, 4, tokenizer=TOKENIZER)
    with pytest.raises(PluginError, match="1000 branches were taken back"):
        Session(adapter, Chain()).generate([0], max_tokens=5, ban=["a"], seed=0)


def test_a_processor_tosses_its_coin_anew_in_each_attempt() -> None:
    """Coin and token together are drawn again: b has 0.225 / 0.325. A coin that stayed would give it 0.75."""

    def first_two(dist: Any, ctx: Any) -> Any:
        return dist.keep([0, 1]) if ctx.rng.uniform([0])[0] < 0.5 else dist

    adapter = TableAdapter({(): np.log([0.6, 0.2, 1e-300, 0.2]).tolist()}, 4, tokenizer=TOKENIZER)
    session, tries = Session(adapter, Chain([first_two])), 4000
    drawn = [session.generate([2], max_tokens=1, ban=["a"], seed=seed).token_ids[0] for seed in range(tries)]
    assert set(drawn) == {1, 3}
    expected = 0.225 / 0.325
    deviation = (drawn.count(1) - tries * expected) / math.sqrt(tries * expected * (1 - expected))
    assert abs(deviation) < 5  # p about 6e-7


def test_what_makes_no_sense_is_a_typed_error() -> None:
    session = Session(model(), Chain())
    for ban in ("ab", [""], [1], ["a", None]):
        with pytest.raises(ParameterError, match="ban is a list of texts"):
            session.generate([0], ban=ban)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="ban needs a tokenizer"):
        Session(TableAdapter(row, 4), Chain()).generate([0], ban=["a"])

    class Foreign:
        pure = False

        def __call__(self, dist: Any, ctx: Any) -> Any:
            return dist

    with pytest.raises(ParameterError, match="must run only once"):
        Session(model(), Chain([Foreign()])).generate([0], ban=["a"])


def test_a_phrase_in_half_characters_is_found_in_bytes() -> None:
    tokenizer = BytesTokenizer()
    assert Ban(["é"], tokenizer).settled([97, 0xC3]) == 1
    assert Ban(["é"], tokenizer).find([97, 0xC3, 0xA9]) == (1, "é")
