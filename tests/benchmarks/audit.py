"""The default axes of an audit of SmolLM2 with llama.cpp, against three minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import decodekit
from decodekit.analysis.audit import audit

from .timing import Ratio, ratio_of

_LIMIT = 180.0  # seconds
_NAMED = {"type": "llamacpp", "model": "smollm2", "n_threads": 1}


def measure() -> Iterator[Ratio]:
    """The seconds of the processor, those of the new process too: two cores are no slower than one of them."""
    before = sum(os.times()[:4])
    adapter = decodekit.adapter(**_NAMED)
    report = audit(adapter, named=_NAMED)
    adapter.close()
    assert report.trusted and report.stable
    seconds = sum(os.times()[:4]) - before
    yield ratio_of("an audit of the default axes, 4 texts of 24 tokens", "3 minutes", [(seconds, _LIMIT)], 1.0)
