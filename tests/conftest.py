"""One thread for all tests; hypothesis has no deadline (machines differ), and the same examples every time in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings

# Before a library that asks is loaded: a worker of pytest-xdist has one core, and threads that share it are slower.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture
def own_processors() -> Iterator[None]:
    """The processors that a test registers are forgotten after it."""
    from decodekit.plugin.registry import define_group

    with patch.dict(define_group("processors", "processor").registered):
        yield
