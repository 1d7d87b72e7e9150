"""Threads that wait for one another."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from decodekit.threads import Bell, Job, Worker


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_a_bell_is_heard_once_however_often_and_early_it_was_rung() -> None:
    bell = Bell()
    assert not bell.heard(0)
    bell.ring()
    bell.ring()
    assert bell.heard() and not bell.heard(0) and not bell.heard(-1.0)


def test_a_worker_runs_in_order_raises_what_a_function_raised_and_goes_on() -> None:
    worker, seen = Worker("in order"), list[int]()
    jobs = [worker.run(lambda i=i: seen.append(i)) for i in range(20)]
    failed = worker.run(lambda: 1 / 0)
    worker.drain()
    assert seen == list(range(20)) and all(job.done for job in [*jobs, failed]) and len(named("in order")) == 1
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.result()


def test_a_job_that_is_given_up_does_not_begin_and_waits_for_nothing() -> None:
    worker, seen, entered, leave = Worker("given up"), list[str](), Bell(), Bell()

    def long() -> None:
        begun.give_up()  # the garbage collector may come here
        worker.drain()
        entered.ring()
        assert leave.heard(20)
        seen.append("long")

    begun = Job(long)
    begun, waiting = worker.run(long), worker.run(lambda: seen.append("never"))
    assert entered.heard(20)
    waiting.give_up()
    begun.give_up()
    assert waiting.done and not begun.done
    leave.ring()
    worker.drain()
    assert seen == ["long"] and begun.done


def test_a_worker_is_collected_in_a_thread_that_holds_threadings_own_lock() -> None:
    """``threading.enumerate`` allocates a list under it, and a thread needs it to end."""
    worker = Worker("collected under a lock")
    worker.run(lambda: None).result()
    (thread,) = named("collected under a lock")
    with threading._active_limbo_lock:  # type: ignore[attr-defined]
        del worker
        gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_the_thread_ends_with_its_worker_also_where_the_last_job_holds_it() -> None:
    worker = Worker("collected")
    worker.run(lambda own=worker: own).result()
    (thread,) = named("collected")
    del worker
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_a_process_waits_for_the_function_that_runs() -> None:
    code = (
        "import sys, time\nfrom decodekit.threads import Worker\nworker = Worker('last')\n"
        "worker.run(lambda: (time.sleep(0.2), sys.stdout.write('done')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done", "")
