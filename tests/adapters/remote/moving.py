"""A server whose answers are never the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tests.adapters.remote.servers import TableServer

__all__ = ["moving"]


class Moving(TableServer):
    """Its logits are new at every request."""

    def row(self, ids: Sequence[int]) -> np.ndarray:
        noise = np.random.default_rng([len(self.requests), *ids]).normal(size=257)
        moved: np.ndarray = super().row(ids) + noise
        return moved - np.logaddexp.reduce(moved)


@contextmanager
def moving() -> Iterator[TableServer]:
    server = Moving()
    try:
        yield server
    finally:
        server.close()
