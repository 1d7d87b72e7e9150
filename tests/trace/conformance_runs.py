"""The traces in tests/trace/conformance, and the verdict that each must get.

``python -m tests.trace.conformance_runs FOLDER`` writes them all, with ``verdicts.json``. The verdicts are stated here
and not computed. Times are set to nothing, so the same versions of decodekit and numpy write the same bytes.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import decodekit
from decodekit import Randomness, processor
from decodekit.testing import TableAdapter

from .conformance_changes import DAMAGED, FORGED, Found
from .forging import Line, dump, load
from .golden_runs import NGRAM, scores

WHOLE = TableAdapter(lambda ids: scores(ids, 40), 40)
WIDE = TableAdapter(lambda ids: scores(ids, 200), 200)  # so wide that a floor is shorter than the support
HEADS = TableAdapter(lambda ids: scores(ids, 60), 60, most=decodekit.Disclosure(6, (0,)))
WARM = [processor("temperature", temperature=1.25)]
TOP_P = [processor("temperature", temperature=0.8), processor("top_p", top_p=0.95)]
PROVED, CONSISTENT = Found("proved"), Found("consistent", 0)


@dataclass(frozen=True)
class Sound:
    """An honest run: how it was made, and what it must be found to be."""

    name: str
    about: str
    verify: Found
    adapter: Any
    parts: Sequence[Any]
    prompts: Sequence[Any]
    call: dict[str, Any]
    sampler: Any = "multinomial"
    seed: int = 7
    n: int = 1
    chain: Found | None = None
    after: Callable[[Path, Any], None] | None = None
    max_bytes: int | None = None

    def lines(self, path: Path) -> list[Line]:
        session = decodekit.Session(
            self.adapter, decodekit.Chain(self.parts, self.sampler), seed=self.seed, top_logprobs=2
        )
        sink = decodekit.sink("jsonl", jsonl=path, max_bytes=self.max_bytes)
        session.generate_many(self.prompts, n=self.n, trace=sink, **self.call)
        if self.after is not None:
            self.after(path, self.adapter)
        return [timeless(line) for line in load(path)]


def resumed(path: Path, adapter: Any) -> None:
    """Cut the trace in its third step, and go on from there."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    cut = path.with_suffix(".cut")
    cut.write_bytes(b"".join(lines[:3]) + lines[3][:60])
    decodekit.resume(cut, adapter, trace=path)


def recovered(path: Path, adapter: Any) -> None:
    """Cut the trace in its third step, and keep the lines before."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    cut = path.with_suffix(".cut")
    cut.write_bytes(b"".join(lines[:3]) + lines[3][:60])
    decodekit.recover(cut, path)


def mine(dist: Any, ctx: Any, randomness: Any) -> Any:
    """A sampler that no reader knows."""
    return decodekit.sampler("multinomial")(dist, ctx, randomness)


def close_scores() -> np.ndarray:
    """Scores under which tokens 3 and 1 are 1e-12 apart with the noise of seed 7, step 0."""
    return np.append(-Randomness(7).gumbel(range(5), step=0) - np.array([3.0, 1e-12, 3.0, 0.0, 4.0]), -50.0)


CLOSE = TableAdapter({(): close_scores()}, 6)
MASK = [processor("allowed_tokens", allowed_tokens=[2, 3, 9, 11, 20, 33])]
HALF = [processor("suppressed_tokens", suppressed_tokens=list(range(1, 60, 2)))]
SOUND = [
    Sound("level_choice", "level choice: no scores", CONSISTENT, NGRAM, TOP_P, ["the "],
          {"max_tokens": 3, "level": "choice"}),
    Sound("top_p", "multinomial over a whole recorded support", PROVED, NGRAM, TOP_P, ["the "], {"max_tokens": 3}),
    Sound("floor", "multinomial with a floor", PROVED, WIDE, WARM, [[5]], {"max_tokens": 3}),
    Sound("greedy", "greedy: no draw, a floor at the runner-up", PROVED, WIDE, WARM, [[5]], {"max_tokens": 3},
          sampler="greedy"),
    Sound("inverse_cdf", "one uniform, domain 1", PROVED, NGRAM, [processor("min_p", min_p=0.02)], ["the "],
          {"max_tokens": 3}, sampler="inverse_cdf"),
    Sound("level_full", "level full: float32 rows of all tokens", PROVED, WHOLE, WARM, [[5]],
          {"max_tokens": 3, "level": "full"}, chain=Found("reproduced")),
    Sound("heads", "heads with a tail, whose bound is the floor", PROVED, HEADS, [], [[3]],
          {"max_tokens": 3, "level": "full"}, chain=Found("reproduced")),
    Sound("masked_heads", "a mask on heads: kept_bounds, and removed tokens with the score -inf", PROVED, HEADS, HALF,
          [[3]], {"max_tokens": 3, "level": "full"}, seed=5, chain=Found("reproduced")),
    Sound("mask", "a mask on whole rows: kept_mass", PROVED, WHOLE, MASK, [[5]], {"max_tokens": 3, "level": "full"},
          chain=Found("reproduced")),
    Sound("constraint", "a constraint says whether the text may end: complete, and margins of inf", PROVED, NGRAM,
          [processor("choice", choice=["cat", "cow"])], ["the "], {"max_tokens": 4}),
    Sound("streams", "two prompts, two samples each", PROVED, NGRAM, TOP_P, ["the ", "a dog"], {"max_tokens": 2}, n=2),
    Sound("last_stream", "seed and stream of 2**64 - 1", PROVED, WHOLE, WARM, [[5]],
          {"max_tokens": 2, "stream": 2**64 - 1}, seed=2**64 - 1),
    Sound("resumed", "resumed after two steps", PROVED, WHOLE, WARM, [[5]], {"max_tokens": 4}, after=resumed),
    Sound("recovered", "recovered after two steps", Found("incomplete", 2), WHOLE, WARM, [[5]], {"max_tokens": 4},
          after=recovered),
    Sound("shortened", "a limit of bytes: two steps without final and top, and the footer says so", CONSISTENT, WHOLE,
          WARM, [[5]], {"max_tokens": 3}, max_bytes=4250),
    Sound("abandoned", "branches that were taken back", PROVED, NGRAM, WARM, ["the "],
          {"max_tokens": 4, "ban": ["ca", "do", "lo"]}, seed=2),
    Sound("stop_string", "a stop string ends the text", PROVED, NGRAM, TOP_P, ["the "],
          {"max_tokens": 20, "stop": ["at"]}),
    Sound("foreign_sampler", "a sampler that is not of the core", CONSISTENT, NGRAM, TOP_P, ["the "],
          {"max_tokens": 2}, sampler=mine),
    Sound("ambiguous", "a margin of 1e-12", Found("ambiguous", 0), CLOSE, [processor("top_k", top_k=5)], [[2]],
          {"max_tokens": 1}),
]  # fmt: skip


def provider_drawn(path: Path) -> list[Line]:
    """The server drew these tokens."""
    from decodekit_remote import RemoteAdapter
    from tests.adapters.remote.servers import TalkingTokenizer, serving

    with serving("openai_chat") as server:
        adapter = RemoteAdapter(base_url=server.url, dialect="openai_chat", tokenizer=TalkingTokenizer())
        with decodekit.Session(adapter, decodekit.Chain.of("temperature=0.7 provider"), seed=5, top_logprobs=2) as it:
            it.generate([{"role": "user", "content": "who"}], max_tokens=3, trace=path)
    lines = [timeless(line) for line in load(path)]
    text = json.dumps(lines).replace(server.url, "http://127.0.0.1/v1")
    again: list[Line] = json.loads(text)
    return again


def timeless(line: Line) -> Line:
    """The line without times and without the versions of this machine."""
    line = copy.deepcopy(line)
    if "created" in line:
        line["created"] = "2026-01-01T00:00:00.000+00:00"
    if "timing" in line:
        line["timing"] = {"predict": 0.0, "chain": 0.0}
    if "versions" in line.get("content", {}):
        line["content"]["versions"] = {"decodekit": version("decodekit")}
    return line


def main(folder: Path) -> None:
    table: dict[str, dict[str, Any]] = {}
    sound: dict[str, list[Line]] = {}

    def row(kind: str, name: str, about: str, verify: Found, chain: Found | None) -> None:
        table[f"{name}.jsonl"] = {"kind": kind, "about": about, "verify": verify.data()}
        if chain is not None:
            table[f"{name}.jsonl"]["chain"] = chain.data()

    with tempfile.TemporaryDirectory() as scratch:
        for run in SOUND:
            sound[run.name] = run.lines(Path(scratch) / f"{run.name}.jsonl")
            row("sound", run.name, run.about, run.verify, run.chain)
        sound["provider"] = provider_drawn(Path(scratch) / "provider.jsonl")
        row("sound", "provider", "the provider drew", CONSISTENT, None)
    for name, lines in sound.items():
        dump(lines, folder / f"{name}.jsonl")
    for damage in DAMAGED:
        (folder / f"{damage.name}.jsonl").write_bytes(damage.change((folder / "top_p.jsonl").read_bytes()))
        row("damaged", damage.name, damage.about, damage.verify, None)
    for forgery in FORGED:
        lines = copy.deepcopy(sound[forgery.run])
        forgery.change([line["content"] for line in lines])
        dump(lines, folder / f"{forgery.name}.jsonl")
        row("forged", forgery.name, forgery.about, forgery.verify, forgery.chain)
    (folder / "verdicts.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
