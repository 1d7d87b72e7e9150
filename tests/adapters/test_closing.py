"""A model is closed, or its process ends, while it computes in another thread: nobody computes with freed memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from decodekit import AdapterError, Prefix, Session
from decodekit.model.asking import rounds_of
from tests.model.test_rounds import eventually, threads

PATIENCE = 60  # seconds: nothing waits as long unless a test fails


@pytest.mark.real_model
def test_llama_cpp_is_freed_after_the_forward_pass_and_those_that_wait_are_told() -> None:
    pytest.importorskip("llama_cpp")
    from decodekit_llamacpp import LlamaCppAdapter

    adapter = LlamaCppAdapter(model="smollm2", n_ctx=1024, n_threads=1)
    errors: list[AdapterError] = []

    def work(i: int) -> None:
        with pytest.raises(AdapterError, match="closed") as caught:
            Session(adapter, seed=1).generate(Prefix([i + 5] * 120), max_tokens=900)
        errors.append(caught.value)

    started = threads(3, work)
    assert eventually(lambda: rounds_of(adapter).waiting == 3)
    adapter.close()
    for thread in started:
        thread.join(PATIENCE)
    assert len(errors) == 3 and all(error.partial is not None for error in errors)
    adapter.close()
    with pytest.raises(AdapterError, match="closed"):
        adapter.tokenizer.encode("a text")


def test_torch_lets_the_call_end_that_is_running() -> None:
    torch = pytest.importorskip("torch")
    from decodekit_torch import TorchAdapter

    entered, opened = threading.Event(), threading.Event()

    def model(ids: Any) -> Any:
        entered.set()
        assert opened.wait(PATIENCE)
        return torch.zeros(len(ids), 20)

    opened.set()
    adapter = TorchAdapter(model=model, stochastic=False)  # asks the model for its size
    opened.clear()
    entered.clear()
    found: list[object] = []
    calls = threads(1, lambda _: found.append(adapter.predict([Prefix([1])])[0]))
    assert entered.wait(PATIENCE)
    closing = threads(1, lambda _: adapter.close())
    opened.set()
    for thread in (*calls, *closing):
        thread.join(PATIENCE)
    assert found[0].vocab_size == 20  # type: ignore[attr-defined]
    with pytest.raises(AdapterError, match="closed"):
        adapter.predict([Prefix([1])])


ENDS = """
import threading
import decodekit
from decodekit.model.asking import rounds_of

adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=1024, n_threads=1)
session = decodekit.Session(adapter, seed=1)
begun = threading.Event()
call = dict(max_tokens=900, until=lambda step: begun.set())
threading.Thread(target=session.generate, args=(decodekit.Prefix([5]),), kwargs=call, daemon=True).start()
assert begun.wait(60)
print("ends")
"""


@pytest.mark.real_model
def test_a_process_ends_while_a_daemon_thread_computes() -> None:
    """The model is freed at the end of the process; trio's worker threads are daemons, too."""
    pytest.importorskip("llama_cpp")
    done = subprocess.run([sys.executable, "-Ic", ENDS], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "ends\n"), done.stderr
