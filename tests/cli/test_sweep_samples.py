"""``sweep --samples``: tables, JSON, workers, wrong calls, and a worker that is killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decodekit import Session
from decodekit.analysis.sweeps.units import Task
from decodekit.cli.sample_sweep import sampled
from decodekit.testing import NGramAdapter
from tests.cli.conftest import COMMAND, TOY, Decodekit

pytest.importorskip("pyarrow")

LINES = [
    {"prompt": "the ", "answer": "cat"},
    {"prompt": "and the ", "answer": "dog", "id": "b"},
    {"prompt": "on the ", "answer": "log"},
]
RUN = ["sweep", *TOY, "--prompts", "in.jsonl", "--chain", "", "--chain", "temperature=0.7", "--seed", "3",
       "--max-tokens", "6"]  # fmt: skip
CHECKED = ["--check", r"regex:^(\w+)"]
Together = Callable[..., list[tuple[int, str, str]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return tmp_path


def rows(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of all files of a folder; a torn one is left out, as it is by a sweep."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def test_a_table_and_the_same_as_json_and_parquet(one_after_another: Together, folder: Path) -> None:
    call = [*RUN, *CHECKED, "--samples", "16", "--pass-at", "4", "--out", "out"]
    (code, table, told), (_, data, _) = one_after_another([[*call, "--parquet", "t.parquet"], [*call, "--json"]])
    assert (code, told) == (0, "")
    assert all(len(line) <= 80 for line in table.splitlines())
    assert table.splitlines()[0].split() == ["chain", "score", "pass@4", "majority", "agreement", "distinct-2"]
    found = json.loads(data)
    first, second = found["chains"]
    assert f"{first['score']['value']:.3f}±" in table and first["score"]["clusters"] == 3
    assert (first["count"], second["chain"], found["missing"]) == (48, "temperature=0.7", 0)
    (against,) = found["against_first"]
    assert against["difference"]["value"] == pytest.approx(second["score"]["value"] - first["score"]["value"])
    assert 0.3 < against["variance_saved"] <= 1

    from pyarrow import parquet

    written = parquet.read_table(folder / "t.parquet")
    assert written.num_rows == 96 and written.schema.metadata[b"decodekit.schema"] == b"decodekit-samples/1"
    kept = {row["key"]: row for row in rows(folder / "out") if "text" in row}
    for row in written.to_pylist():
        assert (row["text"], row["token_ids"]) == (kept[row["key"]]["text"], kept[row["key"]]["token_ids"])
        assert row["answer"] == LINES[row["task"]]["answer"] and row["id"] == LINES[row["task"]].get("id")
    values = [row["value"] for row in written.to_pylist() if row["chain"] == "multinomial"]
    assert sum(values) / 48 == pytest.approx(first["score"]["value"])


def test_workers_and_failures(one_after_another: Together, folder: Path) -> None:
    whole = [*RUN, "--samples", "4", "--json"]
    shared = [*whole, "--out", "out"]
    calls = [[*shared, "--shard", "1/2"], [*shared, "--shard", "2/2"], whole, [*whole, "--set", "fail_at=6"]]
    one, two, alone, broken = one_after_another(calls)
    assert one[0] == two[0] == 0 and "units are left to other workers" in one[2] and two[1:] == alone[1:]
    assert broken[0] == 1 and "units and 0 checks failed" in broken[2] and "\x1b" not in broken[2]
    assert Counter(row["key"] for row in rows(folder / "out")).most_common(1)[0][1] == 1


def test_temperatures_are_a_grid_of_chains(decodekit: Decodekit) -> None:
    grid = ("--temperatures", "0:1:0.5", "--chain", "top_k=2")
    done = decodekit("sweep", *TOY, "--prompt", "the ", "--samples", "2", *grid, "--json", "--max-tokens", "3")
    chains = json.loads(done.stdout)["chains"]
    assert [each["chain"] for each in chains] == [f"temperature={t} top_k=2" for t in ("0", "0.5", "1")]
    assert chains[0]["agreement"]["value"] == 1


WRONG = [
    (["--samples", "2"], "what is sampled?"),
    (["--samples", "2", "--prompt", "x", "--answer", "y"], "--answer is for given answers"),
    (["--prompt", "x", "--shard", "1/2"], "--shard is for --samples"),
    (["--prompt", "x", "--answer", "y", "--chain", "top_k=2", "--chain", ""], "take one chain"),
    (["--samples", "2", "--prompt", "x", "--shard", "1/2", "--out", "o"], "need a seed"),
    (["--samples", "2", "--prompt", "x", "--shard", "3/2", "--seed", "1"], "3/2"),
    (["--samples", "2", "--prompt", "x", "--check", "exact", "--pass-at", "3"], "--pass-at 3 needs"),
    (["--samples", "2", "--prompt", "x", "--check", "no.py:f"], "cannot read no.py"),
    (["--samples", "2", "--prompt", "x", "--chain", "tempersture=1"], "temperature"),
    (["--samples", "2", "--prompts", "absent.jsonl"], "absent.jsonl"),
    (["--samples", "0", "--prompt", "x"], "n"),
]  # fmt: skip


def test_wrong_calls(one_after_another: Together) -> None:
    answers = one_after_another([["sweep", *TOY, *call] for call, _ in WRONG])
    for (call, message), (code, out, told) in zip(WRONG, answers, strict=True):
        assert (code, out) == (2, "") and message in told, (call, told)


def test_a_killed_worker_loses_nothing_and_makes_nothing_twice(
    environment: dict[str, str], one_after_another: Together, folder: Path
) -> None:
    call = [*RUN, *CHECKED, "--samples", "8", "--out", "out", "--set", "delay=0.01"]
    chance = random.Random(1)
    before: list[dict[str, Any]] = []
    for _ in range(3):
        process = subprocess.Popen([*COMMAND, *call], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        wanted, ends = len(before) + chance.randint(1, 12), time.monotonic() + 60
        while process.poll() is None and len(rows(folder / "out")) < wanted and time.monotonic() < ends:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = rows(folder / "out")
        assert len(now) >= wanted and all(row in now for row in before)
        before = now
    straight_on = [*RUN, *CHECKED, "--samples", "8", "--json"]
    (code, resumed, _), (_, straight, _) = one_after_another([[*call, "--json"], straight_on])
    assert code == 0 and resumed == straight
    made = Counter(("check" in row, row["key"]) for row in rows(folder / "out"))
    assert set(made.values()) == {1} and len(made) == 2 * 2 * 3 * 8


def test_after_ctrl_c_the_samples_that_were_begun_are_finished_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(NGramAdapter):
        calls = 0

        def predict(self, *asked: Any) -> Any:
            self.calls += 1
            if self.calls == 3:
                signal.raise_signal(signal.SIGINT)
            return super().predict(*asked)

    options: dict[str, Any] = {"seed": 1, "max_tokens": 5, "out": tmp_path / "out"}
    model = Interrupted("the cat sat on the mat")
    with pytest.raises(KeyboardInterrupt):
        sampled(Session(model), [Task("the ")], [""], 40, options)
    begun = model.info.concurrency
    assert 3 < begun < 40 and len(rows(tmp_path / "out")) == begun
    assert f"interrupted after {begun} of 40 samples" in capsys.readouterr().err
    resumed = sampled(Session(model), [Task("the ")], [""], 40, options)
    straight = sampled(Session(model), [Task("the ")], [""], 40, {**options, "out": tmp_path / "straight"})
    assert [row.text for row in resumed.rows] == [row.text for row in straight.rows]
    assert len(rows(tmp_path / "out")) == 40


def test_a_setting_of_the_adapter_is_a_part_of_the_key(one_after_another: Together, folder: Path) -> None:
    call = [*RUN, "--samples", "1", "--out", "out", "--json"]
    assert [each[0] for each in one_after_another([call, [*call, "--set", "delay=0.0001"], call])] == [0, 0, 0]
    assert len({row["key"] for row in rows(folder / "out")}) == len(rows(folder / "out")) == 2 * 6
