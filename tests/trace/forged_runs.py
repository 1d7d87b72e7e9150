"""The runs whose traces are forged, and what is found of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import decodekit

from .forging import Line, dump
from .golden_runs import HEADS, NGRAM, TABLE

WARM = [("temperature", {"temperature": 1.3})]
COINS = [*WARM, ("xtc", {"xtc": 0.5, "threshold": 0.05}), ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5})]
TOP_P = [*WARM, ("top_p", {"top_p": 0.95})]
RUNS: dict[str, tuple[Any, list[tuple[str, Any]], Any, dict[str, Any]]] = {
    "choice": (NGRAM, TOP_P, "the ", {"level": "choice", "max_tokens": 8, "ban": ["ca", "do"]}),
    "proof": (NGRAM, TOP_P, "the ", {"level": "proof", "max_tokens": 8, "ban": ["ca", "do"], "stop": ["zz"]}),
    "floor": (TABLE, WARM, [5], {"level": "proof", "max_tokens": 3}),
    "full": (NGRAM, COINS, "the ", {"level": "full", "max_tokens": 5}),
    "ban": (NGRAM, [("top_k", {"top_k": 40})], "the ", {"level": "full", "max_tokens": 8, "ban": ["ca", "do"]}),
    "floor, full": (TABLE, WARM, [5], {"level": "full", "max_tokens": 2}),
    "heads": (HEADS, [("top_k", {"top_k": 8})], [3], {"level": "full", "max_tokens": 4}),
    "tail": (HEADS, [], [3], {"level": "full", "max_tokens": 6}),
}


STRONGEST = {"choice": "consistent", "proof": "proved", "full": "reproduced"}


def word_of(lines: list[Line], path: Path) -> str:
    level = lines[0]["content"]["level"]
    try:
        return decodekit.verify(dump(lines, path), chain=level == "full").word
    except decodekit.TraceError:
        return "unreadable"
