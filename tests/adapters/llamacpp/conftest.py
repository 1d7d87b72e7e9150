"""Adapters that are closed after a test, and the bare loop that they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.adapters.llamacpp.bare_loop import MODEL, BareLoop


@pytest.fixture(scope="package")
def bare() -> Iterator[BareLoop]:
    """A bare loop with the adapter's own cache types."""
    pytest.importorskip("llama_cpp")
    loop = BareLoop()
    yield loop
    loop.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """Builds adapters, and closes them after the test. One thread: two crawl when other processes want the cores."""
    pytest.importorskip("llama_cpp")
    from decodekit_llamacpp import LlamaCppAdapter

    built: list[Any] = []

    def build(**params: Any) -> Any:
        built.append(LlamaCppAdapter(**{"model": MODEL, "n_ctx": 700, "n_threads": 1, **params}))
        return built[-1]

    yield build
    for adapter in built:
        adapter.close()
