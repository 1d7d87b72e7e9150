"""Build the wheel of llama-cpp-python, and show how far it is: ``python llama_wheel.py FOLDER``.

It holds llama.cpp itself, but neither its multimodal library nor what only its own programs need: 83 steps in place of
193 (0.3.36). So it goes into a folder of its own, not into pip's cache, from which other projects would get it. Where
that folder or pip's cache has a wheel already, nothing is done. Your own CMAKE_ARGS are added.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent
_STEP = re.compile(r"\[\s*(\d+)/(\d+)\]")  # of ninja
_PERCENT = re.compile(r"\[\s*(\d+)%\]")  # of make
_SOURCE = re.compile(r"(?:vendor/llama\.cpp/)?([\w./-]+\.(?:cpp|c|cu|cxx|m|mm))\b")
_QUIET = 30  # seconds between two lines where there is no terminal


def progress(line: str) -> str | None:
    """How far a line of the build says it is, such as ``34 of 83, src/llama-graph.cpp``; None where it does not say."""
    step, percent = _STEP.search(line), _PERCENT.search(line)
    if step is None and percent is None:
        return None
    far = f"{step[1]} of {step[2]}" if step is not None else f"{percent[1]} %" if percent is not None else ""
    sources = _SOURCE.findall(line)
    name = sources[-1].rpartition("vendor/llama.cpp/")[2] if sources else "linking"
    return f"{far}, {name}"


def watch(command: list[str], environment: dict[str, str], log: Path, screen: TextIO) -> int:
    """Run a command, write what it prints to a file, and show a live line. Returns its exit code."""
    started = time.monotonic()
    live = screen.isatty()
    lines: queue.Queue[str | None] = queue.Queue()
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )

    def read() -> None:
        assert process.stdout is not None
        with log.open("w") as file:
            for line in process.stdout:
                file.write(line)
                lines.put(line)
        process.stdout.close()
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    line: str | None = ""
    now, shown = "fetching its sources", float("-inf")
    while line is not None:
        now = progress(line) or now
        if time.monotonic() - shown >= (0.2 if live else _QUIET):
            shown = time.monotonic()
            seconds = int(shown - started)
            text = f"llama.cpp: {seconds // 60}:{seconds % 60:02d}, {now}"
            screen.write(f"\r\033[K{text[: shutil.get_terminal_size().columns - 1]}" if live else f"{text}\n")
            screen.flush()
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            line = ""
    seconds = int(time.monotonic() - started)
    screen.write(f"{chr(13) + chr(27) + '[K' if live else ''}llama.cpp: {seconds // 60}:{seconds % 60:02d}, done\n")
    return process.wait()


def main() -> int:
    """Build the wheel if it is missing. Returns the exit code."""
    folder = Path(sys.argv[1])
    pin = re.search(r"^llama-cpp-python==(\S+)$", (HERE / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert pin is not None
    name = f"llama_cpp_python-{pin[1]}-"
    pip = [sys.executable, "-m", "pip"]
    list_cached = [*pip, "cache", "list", "llama_cpp_python"]
    cached = subprocess.run(list_cached, capture_output=True, text=True, check=False)  # noqa: S603
    folder.mkdir(parents=True, exist_ok=True)
    if name in cached.stdout or list(folder.glob(f"{name}*.whl")):
        return 0
    log = folder / "llama-cpp-python.log"
    switches = ["-DLLAVA_BUILD=OFF", f"-DCMAKE_PROJECT_llama_cpp_INCLUDE={HERE / 'llama_cpp_core.cmake'}"]
    given = os.environ.get("CMAKE_ARGS", "")
    environment = {**os.environ, "CMAKE_ARGS": f"{shlex.join(switches)} {given}".strip()}
    options = ["--verbose", "--no-deps", "--no-cache-dir", "--wheel-dir", str(folder)]
    code = watch([*pip, "wheel", *options, f"llama-cpp-python=={pin[1]}"], environment, log, sys.stderr)
    if code:
        print("\n".join(log.read_text().splitlines()[-30:]), file=sys.stderr)  # noqa: T201 - a program
        print(f"llama-cpp-python could not be built; all of its output is in {log}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
