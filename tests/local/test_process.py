"""What is known of the threads of a process after a fork."""

from __future__ import annotations

import os

import pytest

from decodekit.errors import AdapterError
from decodekit.local.process import require_threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_a_child(*asked: tuple[str, int]) -> list[str]:
    """What `require_threads` answers in a forked process: '' or the error."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            lines = []
            for adapter, threads in asked:
                try:
                    require_threads(adapter, threads)
                    lines.append("")
                except AdapterError as error:
                    lines.append(str(error))
            os.write(write, "\n".join(lines).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        found = told.read().split("\n")
    assert os.waitpid(child, 0)[1] == 0
    return found


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 and later, in a process with threads
def test_threads_from_before_a_fork_are_gone_and_one_thread_is_enough() -> None:
    require_threads("in two", 2)
    require_threads("in one", 1)
    require_threads("in two", 2)  # in the process itself as often as you like
    gone, one, other, new = in_a_child(("in two", 2), ("in two", 1), ("in one", 1), ("new", 2))
    assert "'in two'" in gone and "spawn" in gone
    assert (one, other, new) == ("", "", "")
