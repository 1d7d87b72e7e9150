from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.cli.conftest import CHAIN, TOY
from tests.cli.test_generate import expected
from tests.cli.toy_adapters import HOSTILE

Terminal = Callable[..., tuple[str, int]]
RUN = ("generate", "the ", *TOY, *CHAIN, "--seed", "7", "--max-tokens", "20")
# All that rich sends to draw: colours, cursor up, erase line, hide and show the cursor.
DRAWING = re.compile(r"\x1b\[(?:[0-9;]*m|\d*A|2K|\?25[lh])|\r")


def last_screen(output: str) -> str:
    """What is left after the live view has taken itself away."""
    return DRAWING.sub("", output.rpartition("\x1b[?25h")[2]).removeprefix("\n")


def test_a_terminal_shows_bars_while_running_and_leaves_the_text(terminal: Terminal) -> None:
    output, code = terminal(*RUN, "--set", "delay=0.02")
    assert code == 0
    assert "step 0" in output and "temperature 0.8" in output and "█" in output and " %" in output
    left = last_screen(output)
    assert left.split("\n")[0] == expected().text
    assert "█" not in left and "20 tokens, length, seed 7" in left


def test_tokens_are_coloured_by_surprisal(terminal: Terminal) -> None:
    output, _ = terminal("generate", "the ", *TOY, "--chain", "temperature=3", "--seed", "1", "--max-tokens", "40")
    colours = set(re.findall(r"\x1b\[([0-9;]+)m", output.rpartition("\x1b[?25h")[2]))
    assert "1;31" in colours and colours <= {"0", "2", "36", "32", "33", "1;31"}


def test_no_color_means_no_colour(terminal: Terminal) -> None:
    output, code = terminal(*RUN, "--explain", "0", env={"NO_COLOR": "1"})
    styles = set(re.findall(r"\x1b\[([0-9;]+)m", output))
    assert code == 0 and styles <= {"0", "1", "2"}  # bold and dim are no colours


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_text(terminal: Terminal) -> None:
    output, code = terminal(*RUN, env={"TERM": "dumb"})
    assert code == 0 and output.replace("\r", "").startswith(expected().text + "\n")


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
@pytest.mark.parametrize("n", ["1", "2"])
def test_no_token_reaches_the_terminal_as_a_command(terminal: Terminal, term: str, n: str) -> None:
    call = ("--sampler", "greedy", "--max-tokens", str(len(HOSTILE)), "--explain", "0", "-n", n)
    output, code = terminal("generate", "x", "--adapter", "hostile", *call, env={"TERM": term})
    assert code == 0
    rest = DRAWING.sub("", output)
    assert not [c for c in rest if c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or ord(c) == 0x202E)]
    assert "\\x1b]0;pwned\\x07" in rest and "\\u202e" in rest and "[bold]hi[/bold]" in rest


def test_json_on_a_terminal_is_only_json(terminal: Terminal) -> None:
    output, _ = terminal(
        "generate", "x", "--adapter", "hostile", "--sampler", "greedy", "--max-tokens", "6", "--json", "--seed", "1"
    )
    first, _, rest = output.replace("\r", "").partition("\n")
    assert first.startswith("{") and first.endswith("}")
    assert "\x1b" not in first and "\x7f" not in first and "\\u007f" in first
    assert rest == ""


def test_a_wide_terminal_does_not_widen_the_page(terminal: Terminal) -> None:
    output, _ = terminal(*RUN, "--explain", "2")
    page = last_screen(output).partition("step 2: ")[2]
    assert max(map(len, page.splitlines())) <= 80
