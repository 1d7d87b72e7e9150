"""decodekit chain: what a chain means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from decodekit.cli.chain_writing import write_part
from decodekit.plugin.one_line import parse_chain
from tests.cli.conftest import Decodekit

CONFIG = """
[adapter]
type = "toy"

[[chain]]
name = "temperature"
temperature = 1.8

[[chain]]
name = "min_p"
min_p = 0.1

[sampler]
name = "inverse_cdf"
"""


def test_a_config_is_told_part_by_part_and_loads_no_adapter(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text(CONFIG.replace('"toy"', '"broken"'))
    done = decodekit("chain", "d.toml")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:3] == [
        "1     temperature=1.8",
        "      Divide every score by the temperature.",
        "      asks for: whatever is cheap",
    ]
    assert "2     min_p=0.1" in lines and "draw  inverse_cdf" in lines
    assert "      argmax-invariant: the most likely token stays the most likely" in lines
    assert "advice: min_p comes after a temperature of 1.8: it keeps what min_p=0.0158" in lines
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)


def test_flags_stand_in_for_the_config(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text(CONFIG)
    told = json.loads(decodekit("chain", "d.toml", "--chain", "top_k=5", "--sampler", "greedy", "--json").stdout)
    (top_k,) = told["processors"]
    assert (top_k["name"], top_k["needs"]) == ("top_k", "the 5 most likely tokens")
    assert top_k["parameters"] == {"top_k": 5, "min_keep": 1, "ties": "lowest"}
    assert told["sampler"]["name"] == "greedy" and told["sampler"]["meaning"].startswith("The largest score")
    assert [(item["rule"], item["places"]) for item in told["advice"]] == [("greedy_and_order", [0])]
    only = json.loads(decodekit("chain", "--chain", "top_k=5", "--json").stdout)
    assert only["sampler"]["name"] == "multinomial" and only["advice"] == []


def test_a_chain_that_cannot_be_built_is_a_wrong_call(
    one_after_another: Callable[..., list[tuple[int, str, str]]], tmp_path: Path
) -> None:
    calls = {
        "which chain?": ["chain"],
        "did you mean 'top_p'?": ["chain", "--chain", "top_pp=0.5"],
        "less than or equal to 1, not 2": ["chain", "--chain", "top_p=2"],
        "--sampler takes one sampler, not 2": ["chain", "--sampler", "greedy greedy"],
        "cannot read nowhere.toml": ["chain", "nowhere.toml"],
    }
    for message, (code, out, err) in zip(calls, one_after_another(list(calls.values())), strict=True):
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "name")
VALUES = st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(NAMES, st.dictionaries(NAMES, VALUES, max_size=3))
@example("a", {"a": '\x7f "quoted" \\ \n 😀'})
def test_what_is_written_reads_back(name: str, parameters: dict[str, object]) -> None:
    assert parse_chain(write_part(name, parameters)) == [{"name": name, **parameters}]


def test_what_no_chain_text_can_hold_is_written_all_the_same() -> None:
    assert write_part("a", {"a": {"1": False}, "b": None}) == 'a={"1": false}'
    assert write_part("a", {"b": None}) == "a"


def test_the_main_parameter_is_written_first() -> None:
    assert write_part("a", {"b": 1, "a": 2, "c": 3}) == "a(a=2, b=1, c=3)"
