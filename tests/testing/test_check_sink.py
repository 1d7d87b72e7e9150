"""`check_sink` accepts ours, and finds what would lose a step or end a run."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

import decodekit
from decodekit.testing import check_sink

PLAIN = {"memory": {}}


@pytest.mark.parametrize("name", PLAIN)
def test_one_of_ours_serves_all_runs(name: str) -> None:
    sink = decodekit.sink(name, **PLAIN[name])
    assert check_sink(lambda: sink) > 10


def test_a_new_trace_file_for_each_run_verifies(tmp_path: Path) -> None:
    numbers = count()
    written = check_sink(lambda: decodekit.sink("jsonl", jsonl=tmp_path / f"{next(numbers)}.jsonl"))
    words = [decodekit.verify(path).word for path in sorted(tmp_path.iterdir())]
    assert len(words) == written  # two at once, and nothing remains of the run that did not begin
    assert words.count("failed") == 1  # the branch is invented
    assert words.count("incomplete") == 1  # the ends count one step less than it has
    assert set(words) == {"proved", "consistent", "failed", "incomplete"}


def test_a_new_table_for_each_run_has_all_its_steps(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    numbers = count()
    written = check_sink(lambda: decodekit.sink("parquet", parquet=tmp_path / f"{next(numbers)}.parquet"))
    files = [parquet.read_metadata(path) for path in sorted(tmp_path.iterdir())]
    assert len(files) == written
    for file in files:
        ends = json.loads(file.metadata[b"decodekit.ends"])["ends"]
        assert file.num_rows == sum(end["tokens"] for end in ends)


class Broken:
    """Keeps the contract, except where it is told not to."""

    def __init__(self, **methods) -> None:
        self.__dict__.update(methods)

    def open(self, header):
        return self

    def write(self, step) -> None: ...
    def resumed(self, resumption) -> None: ...
    def close(self, ends) -> None: ...


class NoOpen:
    def write(self, step) -> None: ...


def no_draw(step) -> None:
    assert step.draw.word


def forgets(step) -> None:
    step.abandoned or object.__setattr__(step, "text", "x")


def no_note(note) -> None:
    raise NotImplementedError


def no_error(ends) -> None:
    assert all(end.error is None for end in ends)


def test_a_sink_that_keeps_the_contract_passes() -> None:
    same = Broken()
    assert check_sink(Broken) == check_sink(lambda: same) > 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (NoOpen, "an object with a method open"),
        (lambda: Broken(open=bool), "its open returned True, which has no method write"),
        (lambda: Broken(write=no_draw), "level choice.*has no attribute 'word'"),
        (lambda: Broken(write=forgets), "changed a step"),
        (lambda: Broken(resumed=None), "no method resumed"),
        (lambda: Broken(close=no_error), "an error"),
        (lambda: Broken(resumed=no_note), "a resumed one"),
    ],
)
def test_a_broken_sink_is_found(make, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sink(make)
