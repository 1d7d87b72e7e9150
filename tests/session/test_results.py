"""A result as data: as a dict, as a list of tokens, as numbers of tokens, and as an explanation of a step."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest

import decodekit
from decodekit import ParameterError, Result, Session, Trace, TraceError
from decodekit.testing import NGramAdapter
from decodekit.trace.step import Timing

TEXT = "the cat sat on the mät. " * 4


def session(**options: Any) -> Session:
    return Session(NGramAdapter(TEXT), "temperature=0.8 top_k=3", seed=7, **options)


def test_a_result_is_one_dict_of_json_types() -> None:
    first, second = session().generate_many(["the ", "a"], n=1, max_tokens=6)
    for (result,), stream in ((first, 0), (second, 1 << 32)):
        data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert data == result.to_dict()
        assert (data["text"], data["stream"], data["error"]) == (result.text, stream, None)
        usage = {"prompt_tokens": 1 if stream else 4, "completion_tokens": 6, "cached_tokens": None}
        assert data["usage"] == usage


@pytest.mark.parametrize("level", ["none", "choice", "full"])
def test_the_texts_of_the_tokens_are_the_text(level: Any) -> None:
    result = session().generate("the ", max_tokens=30, level=level, stop=("mät",))
    tokens = result.tokens
    assert "".join(token.text for token in tokens) == result.text and [t.id for t in tokens] == list(result.token_ids)
    if level == "none":
        assert {(token.logprob, token.top) for token in tokens} == {(None, ())}
        return
    for token, step in zip(tokens, result.trace.steps, strict=True):
        assert token.logprob == step.choice.raw_logprob
        assert [(each.id, each.logprob) for each in token.top] == list(step.raw.top)
    assert [each.text for each in tokens[0].top[:1]] == [chr(tokens[0].top[0].id)]


def test_a_streamed_result_has_its_tokens_too() -> None:
    steps = session().stream("the ", max_tokens=9)
    texts = []
    while True:
        try:
            texts.append(next(steps).text)
        except StopIteration as end:
            result: Result = end.value
            break
    assert [token.text for token in result.tokens] == texts


def test_a_step_knows_all_that_its_result_knows_and_a_recorded_one_itself_alone() -> None:
    result = session().generate("the ", max_tokens=5)
    step = result.trace.steps[2]
    whole = result.explain(2)
    assert str(whole) == str(result.explain(step)) == str(result.explain(-3))
    for part in ("step 2: ", "after the ", "temperature 0.8", "top_k 3", "Gumbel", "check   proved", "the runner-up"):
        assert part in str(whole)
    chosen = next(line for line in str(whole).splitlines() if line.startswith(">"))
    assert f'"{step.text}"' in chosen and chosen.count("%") == 3
    assert str(step.explain()) == str(whole)
    alone = str(replace(step, origin=None).explain())
    assert "temperature" in alone and f'"{step.text}"' in alone and "proved" not in alone
    assert str(step.explain(NGramAdapter(TEXT).tokenizer)).count('"') > alone.count('"')
    assert "\n" not in repr(whole)


def test_each_of_two_log_probabilities_has_one_name_that_all_forms_share() -> None:
    result = session().generate("the ", max_tokens=4)
    for token, step, row in zip(result.tokens, result.trace.steps, result.trace.to_rows(), strict=True):
        assert token.raw_logprob == token.logprob == step.raw_logprob == row["raw_logprob"] != step.logprob
        assert step.logprob == step.choice.logprob == row["logprob"]


def test_an_explanation_in_a_notebook_is_a_table_without_foreign_markup() -> None:
    result = Session(NGramAdapter("<b>&<i>" * 9), seed=3).generate("<", max_tokens=4)
    html = result.explain(0)._repr_html_()
    assert "<table" in html and html.count("<tr") == 1 + 5 + 2
    assert "<b>" not in html and "<i>" not in html and "&lt;" in html


def test_a_step_is_explained_by_the_result_it_is_of() -> None:
    first, _, second = session().generate_many(["the "], n=3, max_tokens=4)[0]
    here, there = ([step for step in first.trace.steps if step.stream == stream] for stream in (0, 2))
    assert second.explain(there[0]).token_id == there[0].token_id != here[0].token_id
    with pytest.raises(ParameterError, match="is step 0 of another sequence or run"):
        first.explain(there[0])
    with pytest.raises(ParameterError, match="is step 1 of another sequence or run"):
        first.explain(session().generate("a", max_tokens=2).trace.steps[1])
    assert pickle.loads(pickle.dumps(first)).explain(here[1]).token_id == here[1].token_id
    with pytest.raises(ParameterError, match="no step -1; none was made"):
        session().generate("the ", max_tokens=0).explain()


@pytest.mark.parametrize("at", [5, -6])
def test_there_is_no_step_beyond_the_last(at: int) -> None:
    with pytest.raises(ParameterError, match=f"no step {at}; there are steps 0 to 4"):
        session().generate("the ", max_tokens=5).explain(at)
    with pytest.raises(ParameterError, match="none was kept"):
        session().generate("the ", max_tokens=5, level="none").explain(0)


def test_a_pickled_result_knows_all_but_the_texts_of_other_tokens() -> None:
    result = session().generate("the ", max_tokens=5)
    again: Result = pickle.loads(pickle.dumps(result))
    assert again == result == copy.deepcopy(result) and again != session().generate("the ", max_tokens=4)
    assert (again.to_dict(), again.tokenizer) == (result.to_dict(), None)
    assert [token.text for token in again.tokens] == [token.text for token in result.tokens]
    assert "proved" in str(again.explain(1))


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
def test_a_trace_is_bytes_and_comes_back(level: Any, tmp_path: Any) -> None:
    path = tmp_path / "run.jsonl"
    result = session().generate("the ", max_tokens=5, level=level, trace=path)
    trace = Trace.from_bytes(result.trace.to_bytes())
    assert trace == result.trace and hash(trace.steps[1]) == hash(result.trace.steps[1])
    other = replace(trace.steps[0], evidence=None, choice=replace(trace.steps[0].choice, margin=9.0))
    assert trace.steps[0] != other and trace != Trace(trace.header, [other, *trace.steps[1:]], trace.footer)
    assert replace(other, timing=Timing(9.0, 9.0)) == other != "a step"
    assert trace.token_ids() == list(result.token_ids) and trace.footer == result.trace.footer
    assert Trace.from_bytes(path.read_bytes()).footer == trace.footer  # the same contents
    assert decodekit.verify(trace).word == decodekit.verify(result.trace).word
    cut = path.read_bytes()[:-30]
    with pytest.raises(TraceError, match="is incomplete"):
        Trace.from_bytes(cut)
    half = Trace(trace.header, trace.steps[:2], None)
    assert Trace.from_bytes(half.to_bytes()).footer is None
    with pytest.raises(TraceError, match="counts 5 tokens"):
        Trace(trace.header, trace.steps[:2], trace.footer).to_bytes()


def test_the_rows_of_a_trace_are_plain() -> None:
    alone = Session(NGramAdapter(TEXT), "top_k=1", seed=7).generate("the ", max_tokens=2).trace.to_rows()
    assert json.loads(json.dumps(alone, allow_nan=False)) == alone and alone[0]["margin"] is None
    trace = session().generate("the ", max_tokens=3).trace
    rows = trace.to_rows()
    assert [row["token_id"] for row in rows] == trace.token_ids()
    assert [part["name"] for part in rows[0]["processors"]] == ["temperature", "top_k"]
    assert json.loads(json.dumps(rows)) == rows


def test_the_version_is_there_without_a_search_at_import() -> None:
    from importlib.metadata import version

    assert decodekit.__version__ == version("decodekit")
    with pytest.raises(AttributeError, match="nothing_like_this"):
        decodekit.nothing_like_this  # type: ignore[attr-defined]  # noqa: B018


def test_tokens_are_counted_as_generate_reads_them() -> None:
    one = session()
    for prompt in ("the mät", [1, 2, 3], decodekit.Prefix([4])):
        assert one.count_tokens(prompt) == one.generate(prompt, max_tokens=1).usage.prompt_tokens
    assert one.count_tokens("mät") == 4 and one.count_tokens("") == 0
    with pytest.raises(ParameterError, match="prompt 0"):
        one.count_tokens(b"x")  # type: ignore[arg-type]

    async def counted() -> int:
        async with decodekit.AsyncSession(NGramAdapter(TEXT)) as another:
            return await another.count_tokens("mät")

    assert asyncio.run(counted()) == 4


def test_a_step_of_another_sequence_or_run_is_not_explained_as_an_own_one() -> None:
    one = Session(NGramAdapter(TEXT), "temperature=2", seed=1)
    results = one.generate_many(["the "], n=2, max_tokens=3)[0]
    (first, second) = (next(step for step in each.trace.steps if step.stream == each.stream) for each in results)
    assert str(results[1].explain(second)) == str(results[1].explain(0))
    assert str(results[0].explain(pickle.loads(pickle.dumps(first)))) == str(results[0].explain(0))
    with pytest.raises(ParameterError, match="step 0 of another sequence or run"):
        results[0].explain(second)
    for wrong in ("x", None, 1.0, True):
        with pytest.raises(ParameterError, match="explain takes a step, or the number of one"):
            results[0].explain(wrong)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="none was made"):
        one.generate("the ", max_tokens=0).explain()
