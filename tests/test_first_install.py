"""The first install says what it is doing while llama.cpp compiles, and compiles only what is used."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "llama_wheel.py"


@pytest.fixture(scope="module")
def wheel() -> Any:
    if not SCRIPT.exists():
        pytest.skip("a source distribution has no scripts of this kind")
    spec = importlib.util.spec_from_file_location("llama_wheel", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  [7/83] Building CXX object vendor/llama.cpp/src/llama-graph.cpp.o", "7 of 83, src/llama-graph.cpp"),
        (
            "  [4/83] /usr/bin/c++ -O3 -o a.cpp.o -c /tmp/x/vendor/llama.cpp/ggml/src/ggml-opt.cpp",
            "4 of 83, ggml/src/ggml-opt.cpp",
        ),
        ("  [83/83] : && /usr/bin/g++ -shared -o bin/libllama.so", "83 of 83, linking"),
        ("[ 12%] Building C object ggml/src/ggml.c", "12 %, ggml/src/ggml.c"),
        ("  *** Configuring CMake...", None),
    ],
)
def test_a_line_of_the_build_says_how_far_it_is(wheel: Any, line: str, said: str | None) -> None:
    assert wheel.progress(line) == said


class Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_a_terminal_has_one_live_line_and_all_output_is_kept(wheel: Any, tmp_path: Path) -> None:
    steps = "print('[1/2] cc -c vendor/llama.cpp/src/a.cpp'); print('[2/2] cc -o lib'); raise SystemExit(3)"
    for terminal in (True, False):
        screen, log = Screen(terminal=terminal), tmp_path / "log"
        code = wheel.watch([sys.executable, "-c", steps], dict(os.environ), log, screen)
        shown = screen.getvalue()
        assert code == 3 and len(log.read_text().splitlines()) == 2
        assert ("\r\033[K" in shown) == terminal and "llama.cpp: 0:0" in shown and shown.endswith("done\n")


def test_the_switches_leave_out_what_only_programs_of_llama_cpp_need(wheel: Any) -> None:
    assert "-DLLAVA_BUILD=OFF" in SCRIPT.read_text()
    assert "set(LLAMA_BUILD_COMMON OFF)" in (wheel.HERE / "llama_cpp_core.cmake").read_text()
