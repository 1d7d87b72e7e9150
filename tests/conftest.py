"""One core and one thread for all tests of a process; hypothesis has no deadline, and the same examples in CI."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings

# Before a library that asks is loaded: a worker of pytest-xdist has one core, and threads that share it are slower.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
if CORES and (worker := os.environ.get("PYTEST_XDIST_WORKER", "")):
    # Also for the programs that it starts. Else llama.cpp takes a thread for every core, and each that waits for
    # another spins: a token costs many times what it costs on one core, where all cores are busy.
    os.sched_setaffinity(0, {sorted(CORES)[int(worker.removeprefix("gw")) % len(CORES)]})

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """The libraries and the thousands of tests stay to the end: Python need not look for garbage among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture
def all_cores() -> Iterator[None]:
    """For a test of several threads: it and the programs that it starts may use every core."""
    if not CORES:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    yield
    os.sched_setaffinity(0, own)


@pytest.fixture
def own_processors() -> Iterator[None]:
    """The processors that a test registers are forgotten after it."""
    from decodekit.plugin.registry import define_group

    with patch.dict(define_group("processors", "processor").registered):
        yield
