"""Ids, seeds and streams above 2**53: the page shows and checks them to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from decodekit.report.columns import Columns
from tests.trace.far_ids import BASE, far_run
from tests.trace.forging import dump, load

from .opening import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("chain", ["top_k=3", "top_k=3 inverse_cdf", "greedy"])
def test_every_draw_among_large_ids_is_proved_in_the_page(browser: Browser, tmp_path: Path, chain: str) -> None:
    trace = far_run(tmp_path / "run.jsonl", chain)
    assert len(trace.steps) == 6
    with opened(browser, trace, tmp_path) as found:
        found.page.get_by_text("6 proved, of 6 draws").wait_for()
        for step in trace.steps:
            found.page.locator(f"#t{step.index}").click()
            assert f"#{step.choice.runner_up}" in found.text("aside .facts")
            named = {f"#{token_id}" for token_id, _ in step.raw.top} - {f"#{step.token_id}"}
            rows = found.page.locator(".stages tbody th").all_inner_texts()
            assert named <= {row.split()[-1] for row in rows}
        found.page.locator("#file").set_input_files(tmp_path / "run.jsonl")
        found.page.get_by_text("It is the run of this page").wait_for()
        assert found.behaved, found


def test_a_runner_up_with_another_last_digit_fails(browser: Browser, tmp_path: Path) -> None:
    trace = far_run(tmp_path / "run.jsonl")
    at = next(n for n, step in enumerate(trace.steps) if (step.choice.runner_up or 0) > BASE)
    step = trace.steps[at]
    assert step.choice.runner_up is not None
    wrong = replace(step, choice=replace(step.choice, runner_up=step.choice.runner_up + 1))
    forged = replace(trace, steps=[*trace.steps[:at], wrong, *trace.steps[at + 1 :]])
    with opened(browser, forged, tmp_path) as found:
        found.page.get_by_text("1 failed").wait_for()
        found.page.locator(f"#t{at}").click()
        assert f"the record says {wrong.choice.runner_up}" in found.text("aside .warning.fault")


def test_the_number_of_a_step_and_the_ids_of_a_branch_keep_their_digits(browser: Browser, tmp_path: Path) -> None:
    far_run(tmp_path / "run.jsonl")
    lines = load(tmp_path / "run.jsonl")
    lines[4]["content"]["step"] = 2**63 + 1
    lines[4]["content"]["abandoned"] = [{"why": "x", "attempt": 2**62 + 1, "token_ids": [BASE + 7, 3]}]
    lines[0]["content"]["stop"]["ban"] = ["x"]
    lines[2]["content"]["raw"]["support"] = lines[2]["content"]["choice"]["rank"] = 10**400
    path = dump(lines, tmp_path / "forged.jsonl")
    with opened(browser, path, tmp_path) as found:
        assert f"Step {2**63 + 1} fails: " in found.text(".run .fault")
        found.page.locator("#t3").click()
        assert f"#{BASE + 7} #3" in found.text("aside") and f"attempt {2**62 + 1}" in found.text("aside")
        assert f"step {2**63 + 1}" in found.text("aside h2")
        found.page.locator("#t1").click()
        assert f"{10**400:,} tokens more likely" in found.text("aside .facts")
        assert found.behaved, found


def test_a_column_is_as_wide_as_its_largest_number_needs() -> None:
    columns = Columns()
    for name, values in {
        "few": [-1, 2**31 - 1],
        "many": [-1, 2**53 - 1],
        "ids": [-1, 2**53],
        "any": [10**400, 0],
        "none": [],
    }.items():
        columns.add(name, "id", values)
    kinds = {name: kind for name, (kind, _, _) in columns.table.items()}
    assert kinds == {"few": "i4", "many": "f8", "ids": "n", "any": "n", "none": "i4"}
    assert columns.data().endswith(b"-1,9007199254740992" + b"1" + b"0" * 400 + b",0")
