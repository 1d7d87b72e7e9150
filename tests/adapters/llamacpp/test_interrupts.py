"""Ctrl-C while llama.cpp loads a model: its log calls Python back, and the interrupt must not be lost there."""

from __future__ import annotations

import signal
import threading

import pytest
import structlog

import decodekit
from decodekit.local.interrupts import interrupts_wait

pytest.importorskip("llama_cpp")


def interrupting_at(line: int):
    """A structlog processor: SIGINT comes while this line of llama.cpp's log is handled."""
    seen = [0]

    def processor(logger, method, event):
        if event["event"].startswith(("llama", "load", "print_info")):
            seen[0] += 1
            if seen[0] == line:
                signal.raise_signal(signal.SIGINT)
        raise structlog.DropEvent

    return processor


@pytest.mark.real_model
@pytest.mark.parametrize("line", [1, 20])
def test_an_interrupt_in_a_line_of_the_log_reaches_the_caller(line, capfd):
    structlog.configure(processors=[interrupting_at(line)])
    try:
        with pytest.raises(KeyboardInterrupt):
            decodekit.adapter("llamacpp", model="smollm2", n_ctx=256, n_threads=1)
    finally:
        structlog.reset_defaults()
    assert "Exception ignored" not in capfd.readouterr().err
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=256, n_threads=1)
    adapter.close()


def test_a_handler_of_the_application_is_called_once_at_the_end():
    came: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append("application"))
    try:
        with interrupts_wait():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            came.append("inside")
        assert came == ["inside", "application"]
        signal.raise_signal(signal.SIGINT)
        assert came == ["inside", "application", "application"]
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_of_the_block_and_an_interrupt_give_the_interrupt():
    def interrupted():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("x")

    with pytest.raises(KeyboardInterrupt) as caught, interrupts_wait():
        interrupted()
    assert isinstance(caught.value.__context__, ValueError)


def test_other_threads_and_ignored_signals_are_left_alone():
    inside: list[object] = []

    def work():
        with interrupts_wait():
            inside.append(signal.getsignal(signal.SIGINT))

    other = threading.Thread(target=work)
    other.start()
    other.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_wait():
            inside.append(signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert inside == [before, signal.SIG_IGN]
