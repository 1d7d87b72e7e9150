"""Adapters in a forked process: an answer, or an error that names the way out; never a wait without end."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fork of a process with threads")

PROGRAM = """
import os, signal, sys
import decodekit

PROMPT = decodekit.Prefix([5, 6, 7])

{build}

adapter = build()
session = decodekit.Session(adapter, decodekit.Chain(), seed=5)
before = session.generate(PROMPT, max_tokens=4).token_ids


def said(ask):
    try:
        return str(ask())
    except decodekit.AdapterError as error:
        return "AdapterError: " + str(error)


read, write = os.pipe()
child = os.fork()
if child == 0:
    lines = [
        said(lambda: session.generate(PROMPT, max_tokens=4).token_ids == before),
        said(lambda: build().predict([PROMPT])[0].mode >= 0),
    ]
    os.write(write, "\\n".join(lines).encode())
    sys.exit(3)  # on the way out everything that was built is freed
os.close(write)
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm(100)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(os.read(read, 10_000).decode())
assert session.generate(PROMPT, max_tokens=4).token_ids == before  # the parent goes on
"""
TABLE = """
def build():
    from decodekit.testing import NGramAdapter

    return NGramAdapter("the cat sat on the mat. " * 3)
"""
LLAMACPP = """
def build():
    return decodekit.adapter("llamacpp", model="smollm2", n_ctx=64, n_threads={threads})
"""
TORCH = """
import torch

torch.set_num_threads({threads})
generator = torch.Generator().manual_seed(0)
inner, outer = (torch.randn(shape, generator=generator) for shape in ((600, 600), (600, 600)))


def build():
    return decodekit.adapter("torch", model=lambda ids: torch.tanh(inner[ids] @ outer), stochastic=False)
"""


def forked(build: str) -> tuple[int, list[str]]:
    """The exit status of a forked process and what it says: of the session from before the fork, of a new adapter."""
    program = PROGRAM.format(build=build)
    done = subprocess.run([sys.executable, "-Ic", program], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    status, *lines = done.stdout.splitlines()
    return int(status), lines


def test_a_model_without_threads_goes_on() -> None:
    assert forked(TABLE) == (3, ["True", "True"])


@pytest.mark.real_model
@pytest.mark.parametrize("name", ["llamacpp", "torch"])
def test_a_model_on_one_thread_goes_on(name: str) -> None:
    assert forked(needing(name).format(threads=1)) == (3, ["True", "True"])


@pytest.mark.real_model
@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("name", ["llamacpp", "torch"])
def test_a_model_on_two_threads_says_that_they_are_gone(name: str) -> None:
    status, lines = forked(needing(name).format(threads=2))
    assert status == 3 and len(lines) == 2
    for line in lines:
        assert line.startswith(f"AdapterError: adapter '{name}' ran on several threads before this process was forked")
        assert "multiprocessing.get_context('spawn')" in line


def needing(name: str) -> str:
    """The code that builds this adapter; skips the test where its library is not installed."""
    pytest.importorskip("llama_cpp" if name == "llamacpp" else "torch")
    return LLAMACPP if name == "llamacpp" else TORCH
