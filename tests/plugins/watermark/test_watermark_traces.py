"""What a trace of a marked text proves: without the key little or what the core can, with the key everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import decodekit
from decodekit import Chain, ConfigError, Session

from .texts import TABLE

SECRET = SecretStr("12345")
STEPS = 20
PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("kgw", {"kgw": 2.0}),
    ("kgw", {"kgw": 2.0, "scheme": "selfhash", "context_width": 2}),
    ("kgw", {"kgw": 2.0, "scheme": "philox"}),
    ("unigram", {"unigram": 2.0}),
    ("synthid", {"synthid": 3}),
]


def processors(name: str, parameters: dict[str, Any], key: SecretStr = SECRET) -> Chain:
    heat = decodekit.processor("temperature", temperature=1.1)
    return Chain([heat, decodekit.processor(name, key=key, **parameters)])


def sampler(form: str = "vllm", key: SecretStr = SECRET) -> Chain:
    mark = decodekit.sampler("gumbel_watermark", gumbel_watermark=form, context_width=2, key=key)
    return Chain([decodekit.processor("top_k", top_k=20)], mark)


def written(path: Path, chain: Chain) -> Path:
    Session(TABLE, chain, seed=5).generate_many([[1], [2, 3]], n=2, max_tokens=STEPS, trace=path, level="full")
    return path


@pytest.mark.parametrize(("name", "parameters"), PROCESSORS, ids=lambda value: str(value)[:40])
def test_the_draw_from_a_marked_law_is_proved_and_the_mark_is_reproduced_with_the_key(
    tmp_path: Path, name: str, parameters: dict[str, Any]
) -> None:
    path, chain = tmp_path / "run.jsonl", processors(name, parameters)
    written(path, chain)
    assert decodekit.verify(path).counts == {"proved": 4 * STEPS}
    without = decodekit.verify(path, chain=True)
    assert without.counts == {"consistent": 4 * STEPS} and "never the key" in without.why
    assert decodekit.verify(path, chain=processors(name, parameters)).counts == {"reproduced": 4 * STEPS}
    report = decodekit.replay(path, adapter=TABLE, chain=chain)
    assert report.equal == 4 * STEPS and report.max_drift == 0.0
    with pytest.raises(ConfigError, match="the recorded one"):
        decodekit.verify(path, chain=processors(name, parameters, SecretStr("12346")))


@pytest.mark.parametrize("form", ["vllm", "sglang"])
def test_a_draw_by_the_key_is_consistent_and_reproduced_with_the_key(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / "run.jsonl", sampler(form))
    assert decodekit.verify(path).counts == {"consistent": 4 * STEPS}
    without = decodekit.verify(path, chain=True)
    assert without.counts == {"consistent": 4 * STEPS} and "give the chain with its key" in without.why
    assert decodekit.verify(path, chain=sampler(form)).counts == {"reproduced": 4 * STEPS}
    with pytest.raises(ConfigError, match=r"only the commitment to its key is recorded.* \(chain= takes a whole chain"):
        decodekit.replay(path, seed=8)
    assert decodekit.replay(path, chain=sampler(form), seed=8).unknown == 0
    trace = decodekit.read_trace(path)
    keyed = [step.draw is None for step in trace.steps]
    assert sum(keyed) > 3 * STEPS and sum(keyed) < 4 * STEPS
    assert decodekit.replay(path, adapter=TABLE, chain=sampler(form)).equal == 4 * STEPS
    with pytest.raises(ConfigError, match="never the key"):
        decodekit.replay(path, adapter=TABLE)


def test_another_token_than_the_keys_fails_with_the_key_alone(tmp_path: Path) -> None:
    trace = decodekit.read_trace(written(tmp_path / "run.jsonl", sampler()))
    at = next(i for i, step in enumerate(trace.steps) if step.index > 5 and step.choice.runner_up is not None)
    step = trace.steps[at]
    assert step.choice.runner_up is not None
    other = step.choice.runner_up
    trace.steps[at] = replace(step, token_id=other, choice=replace(step.choice, token_id=other))
    assert decodekit.verify(trace).word == "consistent"
    verdict = decodekit.verify(trace, chain=sampler())
    assert (verdict.word, verdict.step) == ("failed", step.index)


def test_the_key_of_an_environment_variable_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERMARK_KEY", "12345")
    mark = decodekit.sampler("gumbel_watermark", gumbel_watermark="vllm", key_env="WATERMARK_KEY")
    path = written(tmp_path / "run.jsonl", Chain([], mark))
    assert decodekit.verify(path, chain=True).counts == {"reproduced": 4 * STEPS}
    for value in ("54321", ""):  # another key, and none
        monkeypatch.setenv("WATERMARK_KEY", value)
        assert decodekit.verify(path, chain=True).counts == {"consistent": 4 * STEPS}


def test_a_run_goes_on_with_its_key(tmp_path: Path) -> None:
    whole = Session(TABLE, sampler(), seed=5).generate([1], max_tokens=30).token_ids
    path = tmp_path / "run.jsonl"
    Session(TABLE, sampler(), seed=5).generate([1], max_tokens=12, trace=path)
    with pytest.raises(ConfigError, match="never the key"):
        decodekit.resume(path, TABLE, max_tokens=30)
    (resumed,) = decodekit.resume(path, TABLE, max_tokens=30, chain=sampler())
    assert resumed.token_ids == whole
