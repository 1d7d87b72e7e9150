from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import decodekit as library
from tests.cli.conftest import COMMAND, TOY
from tests.cli.test_generate import expected

SLOW = ("generate", "the ", *TOY, "--chain", "temperature=0.8 top_p=0.95", "--seed", "7", "--set", "delay=0.05")


def interrupted(environment: dict[str, str], folder: Path, *flags: str) -> tuple[str, str, int]:
    """Send SIGINT once the trace holds a few steps."""
    process = subprocess.Popen(
        [*COMMAND, *SLOW, "--max-tokens", "2000", "--trace", "run.jsonl", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment,
    )
    trace = folder / "run.jsonl"
    while not trace.exists() or trace.read_bytes().count(b"\n") < 6:
        assert process.poll() is None
        signal.sigtimedwait([], 0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    return out.decode(), err.decode(), process.returncode


def check(folder: Path) -> library.Trace:
    trace = library.read_trace(folder / "run.jsonl")
    assert library.verify(trace).word == "proved"
    assert trace.footer is not None
    assert {end.finish_reason for end in trace.footer.ends} == {"cancelled"}
    return trace


def test_ctrl_c_leaves_the_text_and_a_whole_trace(environment: dict[str, str], tmp_path: Path) -> None:
    out, err, code = interrupted(environment, tmp_path)
    trace = check(tmp_path)
    assert (err, code) == ("", 130)
    assert len(trace.steps) >= 5
    assert out == "".join(step.text for step in trace.steps) + "\n" == expected(max_tokens=len(trace.steps)).text + "\n"


def test_ctrl_c_gives_the_json_so_far(environment: dict[str, str], tmp_path: Path) -> None:
    out, _, code = interrupted(environment, tmp_path, "--json", "--explain", "0")
    (data,) = json.loads(out)["results"]
    assert code == 130 and data["usage"] is None and data["finish_reason"] == "cancelled"
    assert data["token_ids"] == check(tmp_path).token_ids()


def test_ctrl_c_among_samples_gives_them_all_as_far_as_they_came(environment: dict[str, str], tmp_path: Path) -> None:
    out, _, code = interrupted(environment, tmp_path, "-n", "2", "--json")
    trace, results = check(tmp_path), json.loads(out)["results"]
    assert code == 130
    assert [sample["token_ids"] for sample in results] == [trace.token_ids(0), trace.token_ids(1)]


def test_ctrl_c_in_a_terminal_restores_it(terminal: Callable[..., tuple[str, int]], tmp_path: Path) -> None:
    output, code = terminal(*SLOW, "--max-tokens", "2000", "--trace", "run.jsonl", interrupt_at=b"step 3")
    assert code == 130
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1
    assert "cancelled, seed 7, trace run.jsonl" in output
    check(tmp_path)


def test_where_no_token_follows_the_first_ctrl_c_interrupts_after_a_while() -> None:
    from decodekit.cli.interrupt import Interrupt

    with Interrupt(0.02) as interrupt:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            threading.Event().wait(20)
        assert interrupt.asked


@pytest.mark.parametrize("asked", [1, 2])
def test_the_second_ctrl_c_does_not_wait(asked: int) -> None:
    from decodekit.cli.interrupt import Interrupt

    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        if asked == 2:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
