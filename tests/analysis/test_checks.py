"""Checks: right, wrong, broken and hanging ones, and what a sweep makes of them."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from decodekit import ConfigError, Progress
from decodekit.analysis.sweeps.check_running import Checked, started
from decodekit.analysis.sweeps.checks import check_of
from decodekit.analysis.sweeps.sweeping import sweep
from decodekit.analysis.sweeps.units import Task
from decodekit.analysis.sweeps.work import Checks, Output
from decodekit.testing import NGramAdapter

CODE = """
import os
print("talk")
def good(text, answer):
    print(text)
    return text == answer
def part(text, answer): return 0.25
def bad(text, answer): raise ValueError("no\\nsuch thing")
def hang(text, answer):
    while text != "fine": pass
    return True
def die(text, answer): os._exit(3)
def odd(text, answer): return "yes"
def meet(text, answer):  # right if the other text is checked at the same time
    import pathlib, time
    here = pathlib.Path(__file__).parent
    (here / text).touch()
    until = time.monotonic() + 15
    while len(list(here.glob("text-*"))) < 2 and time.monotonic() < until: time.sleep(0.01)
    return len(list(here.glob("text-*"))) == 2
"""
MODEL = NGramAdapter("the cat sat on the mat and the dog sat on the log. " * 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def said(check: Any, *given: tuple[str, Any], deadline: float = 20.0) -> list[Checked]:
    with closing(started(check_of(check), deadline)) as checker:
        return [checker.check(text, answer) for text, answer in given]


def test_exact_and_patterns() -> None:
    assert [each.value for each in said("exact", (" 4\n", 4), ("5", 4))] == [1, 0]
    assert said("exact", ("4", None))[0].error == "there is no answer to compare with"
    found = said(r"regex:= (\d+)", ("x = 42", "42"), ("x = 42", 4), ("none", 4), ("x = 1", None))
    assert [(each.value, each.vote) for each in found] == [(1, "42"), (0, "42"), (0, None), (1, "1")]
    assert said(re.compile("^B", re.I | re.M), ("a\nb", None))[0] == Checked(1.0, "b")


def test_several_processes_check_at_the_same_time(file: Path) -> None:
    with Checks(check_of(f"{file}:meet"), 20.0, Output(None, ""), processes=2) as checks:
        for text in ("text-1", "text-2"):
            checks.add(text, text, None)
        checks.finish()
    assert {key: each.value for key, each in checks.said.items()} == {"text-1": 1.0, "text-2": 1.0}


def test_functions_of_a_file(file: Path) -> None:
    assert [each.value for each in said(f"{file}:good", ("a", "a"), ("b", "a"))] == [1, 0]
    assert said(f"{file}:part", ("a", None))[0].value == 0.25
    assert said(f"{file}:bad", ("a", None))[0].error == "ValueError: no\nsuch thing"
    assert "a number from 0 to 1, not 'yes'" in str(said(f"{file}:odd", ("a", None))[0].error)
    assert said(f"{file}:die", ("a", None))[0].error == "the check ended its process"
    with pytest.raises(ConfigError, match="no attribute 'absent'"):
        said(f"{file}:absent")
    with pytest.raises(ConfigError, match="cannot read"):
        said("absent.py:f")


def test_what_hangs_is_ended_at_the_deadline_and_the_next_text_is_checked(file: Path) -> None:
    for check, stuck, fine in ((f"{file}:hang", "x", "fine"), ("regex:^(a+)+$", "a" * 40 + "b", "aaa")):
        first, second = said(check, (stuck, None), (fine, None), deadline=0.5)
        assert first.error == "the check did not return in 0.5 s" and second.value == 1


def test_a_function_that_no_other_process_can_import_is_not_called_again_once_it_hangs() -> None:
    go_on = threading.Event()
    calls = []

    def wait(text: str, answer: Any) -> bool:
        calls.append(text)
        return go_on.wait()

    first, second = said(wait, ("a", None), ("b", None), deadline=0.1)
    go_on.set()
    assert "did not return" in str(first.error) and "define it in a module" in str(second.error) and calls == ["a"]


def test_a_check_that_fails_costs_only_the_value_and_is_tried_again(file: Path, tmp_path: Path) -> None:
    tasks = [Task("the ", "cat"), Task("the dog ", "sat")]

    def go(check: Any) -> Any:
        return sweep(MODEL, tasks, [""], 4, check=check, seed=1, out=tmp_path / "out", max_tokens=3)

    broken = go(f"{file}:bad")
    assert {row.check_error for row in broken.rows} == {"ValueError: no\nsuch thing"}
    assert all(row.text and row.value is None for row in broken.rows)
    mended = go("exact")
    assert [row.text for row in mended.rows] == [row.text for row in broken.rows]
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == 2
    again = go("exact")  # its values are there
    assert [row.value for row in again.rows] == [row.value for row in mended.rows]
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == 2
    tasks[0] = Task("the ", "dog")
    changed = go("exact")
    assert [row.value for row in changed.rows] == [float(row.text.strip() == tasks[row.task].answer)
                                                   for row in changed.rows]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "others"), [(1, (True, 1.0)), ([0, {"a": 1}], ([False, {"a": 1}], [0, {"a": 1.0}]))]
)
def test_answers_that_python_calls_equal_are_different_ones(answer: Any, others: Any, tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text("import json\ndef same(text, answer): return len(json.dumps(answer)) / 100\n")

    def go(answer: Any, out: str = "out") -> list[float | None]:
        check = f"{tmp_path}/c.py:same"
        found = sweep(MODEL, [Task("the ", answer)], [""], 2, check=check, seed=1, out=tmp_path / out, max_tokens=2)
        return [row.value for row in found.rows]

    go(answer)
    for number, other in enumerate(others):
        assert go(other) == go(other, f"fresh{number}") != go(answer)
    files = len(list((tmp_path / "out").iterdir()))
    assert go(others[0]) != go(answer) and len(list((tmp_path / "out").iterdir())) == files  # every verdict is kept


def test_the_model_does_not_wait_for_a_slow_check() -> None:
    all_made = threading.Event()

    def patient(text: str, answer: Any) -> bool:
        return all_made.wait(20)

    def tell(told: Progress) -> None:
        if told.done == told.total:
            all_made.set()

    found = sweep(MODEL, ["the "], [""], 9, check=patient, check_deadline=30, seed=1, max_tokens=1, progress=tell)
    assert [row.value for row in found.rows] == [1.0] * 9
