"""The runs whose traces lie in tests/trace/golden, and the program that wrote them.

The files were written by decodekit at commit 092e0b0, before the core was rebuilt; they are never written anew. A new
golden trace is added as another run: ``python tests/trace/golden_runs.py FOLDER`` writes all of them, with what each
came to in ``expected.json``. In ``changed`` are runs whose formula has changed since.

The models do integer arithmetic and logarithms only, so that they say the same everywhere.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import decodekit
from decodekit.testing import NGramAdapter, TableAdapter

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4
WIDE, NARROW = 3000, 200


def scores(ids: tuple[int, ...], size: int) -> np.ndarray:
    """A few likely tokens over a long tail, another after each prefix: exact in float32."""
    mixed = 12345
    for token in ids[-4:]:
        mixed = (mixed * 31 + token + 1) % 2**31
    words = (np.arange(size, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(mixed) * np.uint64(40503)) % 2**32
    levels = (words >> np.uint64(20)).astype(np.int64)  # 0 to 4095
    row = np.where(levels < 40, 10.0 - levels / 8.0, 2.0 - levels / 1024.0)
    return row.astype(np.float32)


NGRAM = NGramAdapter(TEXT)
TABLE = TableAdapter(lambda ids: scores(ids, WIDE), WIDE)
HEADS = TableAdapter(lambda ids: scores(ids, NARROW), NARROW, most=decodekit.Disclosure(20, (0,)))
ADAPTERS = {"ngram": NGRAM, "table": TABLE, "heads": HEADS}


@dataclass(frozen=True)
class Golden:
    """One run: how it is called, and what is done to its file afterwards."""

    name: str
    adapter: str
    chain: list[tuple[str, dict[str, Any]]]
    prompts: list[Any]
    call: dict[str, Any] = field(default_factory=dict)
    n: int = 1
    sampler: str = "multinomial"
    session: dict[str, Any] = field(default_factory=dict)
    broken: str = ""  # '' (whole), 'killed' (no footer), 'torn' (half a last line) or 'resumed'

    def write(self, path: Path) -> list[list[int]]:
        """Write the trace. Returns the tokens of each sequence of the whole run."""
        parts = [decodekit.processor(name, **params) for name, params in self.chain]
        session = decodekit.Session(ADAPTERS[self.adapter], decodekit.Chain(parts, self.sampler), **self.session)
        whole = path if not self.broken else path.with_suffix(".whole")
        runs = session.generate_many(self.prompts, n=self.n, trace=whole, **self.call)
        tokens = [list(result.token_ids) for samples in runs for result in samples]
        if self.broken:
            lines = whole.read_bytes().splitlines(keepends=True)
            whole.unlink()
            half = len(lines) // 2
            cut = path if self.broken != "resumed" else path.with_suffix(".cut")
            cut.write_bytes(b"".join(lines[:half]) + (lines[half][:70] if self.broken != "killed" else b""))
            if self.broken == "resumed":
                decodekit.resume(cut, ADAPTERS[self.adapter], trace=path)
                cut.unlink()
        return tokens


RUNS = [
    Golden(
        "streams", "ngram", [("temperature", {"temperature": 0.8}), ("top_p", {"top_p": 0.95})], ["the ", "a dog"],
        {"max_tokens": 8, "stop": ["mat"]}, n=2, session={"seed": 7},
    ),
    Golden(
        "choice", "ngram", [("xtc", {"xtc": 0.5, "threshold": 0.05}), ("adaptive_p", {"adaptive_p": 0.3})], ["the "],
        {"max_tokens": 24, "level": "choice"}, session={"seed": 11},
    ),
    Golden(
        "full", "ngram",
        [("repetition_penalty", {"repetition_penalty": 1.3}), ("temperature", {"temperature": 1.5}),
         ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5})],
        ["the "], {"max_tokens": 8, "level": "full"}, session={"seed": 12, "top_logprobs": 3},
    ),
    Golden(
        "ban", "ngram", [("temperature", {"temperature": 1.1})], ["the "],
        {"max_tokens": 30, "ban": ["cat", "sat on"]}, session={"seed": 3},
    ),
    Golden(
        "states", "ngram",
        [("top_k", {"top_k": 40}), ("xtc", {"xtc": 0.5, "threshold": 0.05}), ("dry", {"dry": 0.8, "breakers": []}),
         ("mirostat", {"mirostat": 2.0, "eta": 0.5})],
        ["the "], {"max_tokens": 20}, session={"seed": 13}, broken="killed",
    ),
    Golden(
        "floor", "table", [("temperature", {"temperature": 1.25})], [[5]], {"max_tokens": 6}, session={"seed": 3},
    ),
    Golden(
        "heads", "heads", [("top_k", {"top_k": 8})], [[3], [4, 5]], {"max_tokens": 8}, session={"seed": 1},
    ),
    Golden(
        "tail", "heads", [], [[3]], {"max_tokens": 12}, session={"seed": 2}, broken="resumed",
    ),
    Golden(
        "biased", "heads",
        [("logit_bias", {"logit_bias": {"7": 4.0, "120": -2.0, "33": False}}), ("top_k", {"top_k": 8})], [[3]],
        {"max_tokens": 8}, session={"seed": 9}, broken="resumed",
    ),
    Golden(
        "given_up", "heads", [("typical_p", {"typical_p": 0.9})], [[3]], {"max_tokens": 8, "level": "full"},
        sampler="inverse_cdf", session={"seed": 4, "on_undisclosed": "truncate"},
    ),
    Golden(
        "inverse_cdf", "ngram", [("min_p", {"min_p": 0.02})], ["the "], {"max_tokens": 12, "level": "full"},
        sampler="inverse_cdf", session={"seed": 5}, broken="torn",
    ),
    Golden(
        "greedy", "table", [("frequency_penalty", {"frequency_penalty": 0.4})], [[7]], {"max_tokens": 8},
        sampler="greedy", session={"seed": 6}, broken="resumed",
    ),
    Golden(
        "ban_torn", "ngram", [("temperature", {"temperature": 1.3})], ["the ", "on "],
        {"max_tokens": 20, "ban": ["a", "he d"]}, n=1, session={"seed": 8}, broken="torn",
    ),
]  # fmt: skip


def verdicts(path: Path, adapter: Any) -> dict[str, Any]:
    """What a trace is found to be, in plain data."""
    found: dict[str, Any] = {}
    for name, call in (("verify", {}), ("chain", {"chain": True})):
        verdict = decodekit.verify(path, **call)
        found[name] = {"word": verdict.word, "counts": dict(sorted(verdict.counts.items()))}
    calls: dict[str, Callable[[], Any]] = {
        "replay": lambda: decodekit.replay(path), "live": lambda: decodekit.replay(path, adapter=adapter),
    }  # fmt: skip
    for name, replayed in calls.items():
        try:
            report = replayed()
            found[name] = {"equal": report.equal, "unknown": report.unknown, "explained": report.explained}
        except decodekit.DecodekitError:
            found[name] = None  # torn; or a fault of that time
    return found


def main(folder: Path) -> None:
    expected = {}
    for run in RUNS:
        path = folder / f"{run.name}.jsonl"
        tokens = run.write(path)
        expected[run.name] = {"tokens": tokens, **verdicts(path, ADAPTERS[run.adapter])}
        with tempfile.TemporaryDirectory() as scratch:
            results = decodekit.resume(path, ADAPTERS[run.adapter], trace=Path(scratch) / "again")
            assert [list(result.token_ids) for result in results] == tokens, run.name
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
