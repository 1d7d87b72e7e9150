"""Rollouts hold what the tokens were drawn with, in the form that trainers read, and say where they come from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import ParameterError, TraceError
from decodekit.analysis.sweeps.sweeping import sweep
from decodekit.analysis.sweeps.table import write_sweep
from decodekit.analysis.trainers.batches import trl_batch, trl_rollouts, verl_batch
from decodekit.analysis.trainers.columns import read_rollouts
from decodekit.analysis.trainers.engine_mismatch import mismatch
from decodekit.analysis.trainers.rolling_out import rollouts
from decodekit.analysis.trainers.rows import Rollout, rollouts_of
from decodekit.cli.app import run
from decodekit.testing import TableAdapter
from tests.trace.far_ids import BASE, FarIds

pytest.importorskip("pyarrow")
from pyarrow import parquet

ROW = np.log([0.4, 0.3, 0.2, 0.1])
AFTER_3 = np.log([1.0, 1e-300, 1e-300, 1e-300])


def law(ids: tuple[int, ...]) -> Any:
    return AFTER_3 if ids[-1] == 3 else ROW


def model(row: Any = law) -> TableAdapter:
    return TableAdapter(row, vocab_size=4)


@pytest.fixture
def session() -> Iterator[decodekit.Session]:
    with decodekit.open(model(), chain="temperature=0.5 top_k=3", seed=11) as opened:
        yield opened


def test_each_row_is_what_its_tokens_were_drawn_with(session: decodekit.Session, tmp_path: Path) -> None:
    made = rollouts(session, [[1], [3]], 3, tmp_path / "set", max_tokens=6)
    rows = made.rows()
    assert (made.sequences, made.tokens, made.seed) == (6, 36, 11)
    assert [(row.prompt, row.sample) for row in rows] == [(p, s) for p in (0, 1) for s in range(3)]
    again = session.generate_many([[1], [3]], n=3, max_tokens=6)
    assert [row.token_ids for row in rows] == [list(result.token_ids) for group in again for result in group]
    weights = np.array([0.16, 0.09, 0.04])
    for row in rows:
        assert row.stop_reason == "length" and row.is_sample and row.weights[0][0] == 0 and row.seed == 11
        for at, token in enumerate(row.token_ids):
            forced = row.prompt == 1 and at == 0
            if forced:  # after 3 there is one token
                continue
            assert row.logprobs[at] == pytest.approx(math.log(weights[token] / weights.sum()))
            assert row.model_logprobs[at] == pytest.approx(ROW[token])
            assert row.support_ids[at] == [0, 1, 2] and row.loss_mask[at] == 1 and row.modes[at] == 0
            assert row.mass[at] == pytest.approx(1 - 0.01 / 0.3)  # at its own stage, after the temperature
            assert row.entropies[at] == pytest.approx(-(np.exp(ROW) * ROW).sum())


def test_forced_tokens_are_masked_and_open_supports_are_null(tmp_path: Path) -> None:
    with decodekit.open(model(), chain="top_k=1", seed=1) as session:
        (row,) = rollouts(session, [[1]], 1, tmp_path / "one", max_tokens=3).rows()
    assert row.loss_mask == [0, 0, 0] and row.logprobs == [0, 0, 0] and row.support_ids == [[0]] * 3
    with decodekit.open(model(), chain="temperature=0.7", seed=1) as session:
        (row,) = rollouts(session, [[1]], 1, tmp_path / "two", max_tokens=3).rows()
    assert row.support_ids == [None] * 3 and row.loss_mask == [1, 1, 1] and row.mass == [1, 1, 1]


def test_more_prompts_than_one_run_takes_have_the_streams_of_one_call(
    session: decodekit.Session, tmp_path: Path
) -> None:
    prompts = [[i % 3] for i in range(5)]
    rows = rollouts(session, prompts, 100, tmp_path / "set", max_tokens=1).rows()  # two prompts a run
    again = session.generate_many(prompts, n=100, max_tokens=1)
    assert [(row.stream, row.token_ids) for row in rows] == [
        (result.stream, list(result.token_ids)) for group in again for result in group
    ]
    assert [row.prompt for row in rows] == [i for i in range(5) for _ in range(100)]


def test_the_card_says_where_the_data_come_from(session: decodekit.Session, tmp_path: Path) -> None:
    rollouts(session, [[1]], 2, tmp_path / "set", max_tokens=2)
    text = (tmp_path / "set" / "README.md").read_text()
    assert text.startswith("---\nconfigs:\n- config_name: default\n  data_files: rollouts.parquet\n")
    assert "2 sequences, 4 tokens: 2 samples of each of 1 prompts" in text
    for part in ('"temperature": 0.5', '"top_k": 3', "| seed | `11` |", model().info.model_fingerprint):
        assert part in text


def test_trainers_get_their_forms(session: decodekit.Session, tmp_path: Path) -> None:
    rows = rollouts(session, [[1], [2, 1, 0]], 1, tmp_path / "set", max_tokens=3).rows()
    rows[0] = replace(rows[0], token_ids=[0], logprobs=[-0.5], loss_mask=[0])
    made = trl_rollouts(rows)
    assert made.keys() == {"prompt_ids", "completion_ids", "logprobs", "env_mask"} and made["prompt_ids"][1] == [
        2,
        1,
        0,
    ]
    trl = trl_batch(rows, pad_token_id=9)
    assert trl["prompt_ids"].tolist() == [[9, 9, 1], [2, 1, 0]] and trl["prompt_mask"][0].tolist() == [0, 0, 1]
    assert trl["completion_ids"][0].tolist() == [0, 9, 9] and trl["completion_mask"][0].tolist() == [1, 0, 0]
    assert trl["tool_mask"][0].tolist() == [0, 1, 1] and trl["sampling_per_token_logps"][0].tolist() == [-0.5, 0, 0]
    verl = verl_batch(rows, pad_token_id=9)
    assert verl["responses"].tolist() == trl["completion_ids"].tolist()
    assert verl["response_mask"].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert verl["attention_mask"].tolist() == [[0, 0, 1, 1, 0, 0], [1] * 6]
    assert verl["position_ids"].tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5]]
    assert verl["rollout_log_probs"].dtype == np.float32 and verl["input_ids"].shape == (2, 6)
    with pytest.raises(ParameterError, match="branches taken back"):
        verl_batch([replace(rows[0], is_sample=False)], 9)


def test_a_mismatch_is_measured_exactly(tmp_path: Path) -> None:
    with decodekit.open(model(), seed=5) as session:
        rows = rollouts(session, [[0]], 64, tmp_path / "set", max_tokens=1).rows()
    same = mismatch(rows, model())
    assert same.max_gap == same.k3.value == same.truncated_tokens == same.lost == 0 and same.tokens == 64
    other = np.log([0.1, 0.2, 0.3, 0.4])
    found = mismatch(rows, model(lambda _: other), cap=2.0)
    tokens = [row.token_ids[0] for row in rows]
    gaps = (other - ROW)[tokens]
    assert found.k1.value == pytest.approx(-gaps.mean()) and found.k3.value == pytest.approx(
        np.mean(np.exp(gaps) - 1 - gaps)
    )
    assert found.max_gap == found.model_max_gap == pytest.approx(math.log(4))
    assert (
        found.truncated_tokens == found.truncated_sequences == pytest.approx(np.mean([token == 3 for token in tokens]))
    )
    assert found.k1.clusters == 64
    json.dumps(found.to_dict())


def test_the_chain_of_the_rollouts_leaves_only_the_engines_difference(
    session: decodekit.Session, tmp_path: Path
) -> None:
    rows = rollouts(session, [[1]], 8, tmp_path / "set", max_tokens=4).rows()
    assert mismatch(rows, model(), "temperature=0.5 top_k=3").max_gap == pytest.approx(0, abs=1e-12)
    assert mismatch(rows, model()).max_gap > 0.05
    cut = mismatch(rows, model(), "top_k=1")
    assert cut.lost == sum(token != 0 for row in rows for token in row.token_ids) > 0


def test_tokens_that_the_chain_forced_count_in_a_mismatch(tmp_path: Path) -> None:
    after = np.log([0.5, 0.5, 1e-9, 1e-9])
    with decodekit.open(
        model(lambda ids: np.log([0.97, 0.01, 0.01, 0.01]) if ids == (3,) else after), seed=5
    ) as session:
        rows = rollouts(session, [[3]], 16, tmp_path / "set", max_tokens=2, chain="top_p=0.9").rows()
    assert all(row.loss_mask == [0, 1] for row in rows)
    for first in (0.125, 0.0):
        with np.errstate(divide="ignore"):
            beginning = np.log([first, 1 - first, 0, 0])
        found = mismatch(rows, model(lambda ids, row=beginning: row if ids == (3,) else after))
        assert (found.tokens, found.forced, found.lost) == (32, 16, 0 if first else 16)
        assert found.k1.value == pytest.approx(math.log(8) / 2 if first else 0, abs=1e-6)  # KL(mu || pi) by hand
        assert found.max_gap == pytest.approx(math.log(8) if first else 0, abs=1e-6)
    with pytest.raises(ParameterError, match="pi can draw none of the 16 tokens"):
        mismatch([replace(row, token_ids=[2], logprobs=[0.0], model_logprobs=[0.0], loss_mask=[0]) for row in rows],
                 model(lambda _: beginning))  # fmt: skip
    with pytest.raises(ParameterError, match="no sequence has one"):
        mismatch([], model())


def test_weights_that_changed_within_a_run_are_named_by_span() -> None:
    with decodekit.open(model(), seed=5) as session:
        trace = session.generate([0], max_tokens=6).trace
    other = {**trace.header.adapter, "model_fingerprint": "new"}
    from decodekit.trace.header import Resumption

    trace.resumed = [Resumption(2, 0, trace.header.adapter), Resumption(4, 0, other)]
    (row,) = rollouts_of(trace)
    assert row.weights == [(0, model().info.model_fingerprint), (4, "new")]


@pytest.mark.parametrize(
    ("chain", "options", "message"),
    [
        ("greedy", {}, "'greedy' does not draw from what the chain leaves"),
        ("top_k=2", {"trace": "x"}, "trace is not an option of rollouts"),
        ("top_k=2", {"max_tokens": -1}, "max_tokens"),
    ],
)
def test_what_is_no_rollout_is_refused_and_nothing_is_left(
    chain: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with decodekit.open(model(), chain=chain, seed=5) as session, pytest.raises(ParameterError, match=message):
        rollouts(session, [[0]], 1, tmp_path / "set", **{"max_tokens": 2, **options})
    assert list(tmp_path.iterdir()) == []


def test_probabilities_given_a_coin_are_no_behaviour(tmp_path: Path) -> None:
    session = decodekit.open(TableAdapter(lambda _: np.log([0.4, 0.3, 0.2, 0.1]), 4), chain="xtc=0.5", seed=1)
    with session, pytest.raises(ParameterError, match="'xtc' draws random numbers, so a recorded log-probability"):
        rollouts(session, [[0]], 20, tmp_path / "coin", max_tokens=5)
    assert not (tmp_path / "coin").exists()


def test_taken_back_branches_are_marked(tmp_path: Path) -> None:
    trained = decodekit.testing.NGramAdapter("abababab ababab abab")
    with decodekit.open(trained, seed=5) as session:
        made = rollouts(session, ["a"], 4, tmp_path / "set", max_tokens=12, ban=["ba"]).rows()
    assert not all(row.is_sample for row in made) and all("ba" not in row.text for row in made)


def test_ids_of_63_bits_are_written(tmp_path: Path) -> None:
    with decodekit.open(FarIds(), chain="top_k=3", seed=1) as session:
        made = rollouts(session, [[BASE]], 2, tmp_path / "set", max_tokens=3)
        write_sweep(sweep(session, [[BASE]], ["top_k=3"], 2, max_tokens=3), tmp_path / "sweep.parquet")
    rows = made.rows()
    assert all(row.prompt_ids == [BASE] and max(max(ids) for ids in row.support_ids) > BASE for row in rows)
    written = parquet.read_table(tmp_path / "sweep.parquet").column("token_ids").to_pylist()
    assert max(max(ids) for ids in written) > BASE


def test_files_that_are_there_or_are_no_rollouts_are_refused(session: decodekit.Session, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="exists; a data set is written once"):
        rollouts(session, [[1]], 1, tmp_path)
    session.generate([1], max_tokens=1, trace=str(tmp_path / "steps.parquet"))
    with pytest.raises(TraceError, match="decodekit-steps/2"):
        list(read_rollouts(tmp_path / "steps.parquet"))


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('"the cat"\n\n{"prompt": "a dog"}\n')
    call = (
        f"rollouts --model smollm2 --set n_threads=1 --prompts {prompts} --out {tmp_path / 'set'} -n 2 --seed 1 --json"
    )
    code = run([*call.split(), "--max-tokens", "2", "--chain", "top_k=5"])
    assert code == 0 and json.loads(capsys.readouterr().out)["sequences"] == 4
    rows: list[Rollout] = list(read_rollouts(tmp_path / "set"))
    assert [len(row.token_ids) for row in rows] == [2] * 4 and all(row.text for row in rows)
    prompts.write_text("the cat\n")
    assert run(["rollouts", "--model", "smollm2", "--prompts", str(prompts), "--out", str(tmp_path / "b")]) == 2
