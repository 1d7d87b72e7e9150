"""A lock around native code: who frees waits, and a fork in the middle of a computation is noticed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from decodekit.local.exclusive import Exclusive

PROGRAM = """
import os, signal, sys, threading
from decodekit import AdapterError
from decodekit.local.exclusive import Exclusive

busy, idle, entered, leave = Exclusive(), Exclusive(), threading.Event(), threading.Event()


def compute():
    with busy.lock:
        entered.set()
        leave.wait(60)


thread = threading.Thread(target=compute)
thread.start()
assert entered.wait(60)
child = os.fork()
if child == 0:
    with idle.lock, busy.lock:  # neither waits
        idle.require_whole("toy")
        try:
            busy.require_whole("toy")
        except AdapterError as error:
            os._exit(3 if "forked while adapter 'toy' computed" in str(error) and "'spawn'" in str(error) else 4)
    os._exit(5)
leave.set()
thread.join()
signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
signal.alarm(60)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
busy.require_whole("toy")  # here nothing is torn
"""


def test_one_thread_at_a_time() -> None:
    exclusive, done = Exclusive(), list[int]()
    thread = threading.Thread(target=lambda: exclusive.lock.acquire() and done.append(1))
    with exclusive.lock, exclusive.lock:
        thread.start()
        assert done == []
    thread.join(60)
    assert done == [1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fork of a process with threads")
def test_a_fork_in_the_middle_of_a_computation_is_an_error_there() -> None:
    done = subprocess.run([sys.executable, "-Ic", PROGRAM], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
