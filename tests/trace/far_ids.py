"""A run whose ids are above 2**53, as those that are made up for a server of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import decodekit
from decodekit import AdapterInfo, Disclosure, Distribution

BASE = 7 * 10**18


class FarIds:
    """Shows four tokens, one with a small id."""

    tokenizer = None
    info = AdapterInfo(
        name="far", model="far", vocab_size=None, origin="logprobs", deterministic=True,
        cheap=Disclosure(top=5), most=Disclosure(top=5),
    )  # fmt: skip

    def predict(self, prefixes: Sequence[Any], disclose: Any = None) -> list[Distribution]:
        ids, scores = [BASE + 1, BASE + 2, 5, BASE + 900], [-0.7, -1.5, -2.0, -3.0]
        return [Distribution.head(ids, scores, None, max_hidden=-3.0) for _ in prefixes]

    def close(self) -> None: ...


def far_run(trace: Any, chain: str = "top_k=3") -> decodekit.Trace:
    """Six steps of the last stream but one, with the last seed."""
    session = decodekit.Session(FarIds(), decodekit.Chain.of(chain), seed=2**64 - 1)
    return session.generate([1], max_tokens=6, stream=2**64 - 2, trace=trace).trace
