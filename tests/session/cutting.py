"""Runs that are cut, and compared with the run that was not when they are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import decodekit
from decodekit import (
    Chain,
    Session,
    read_trace,
    resume,
    verify,
)
from decodekit.testing import BytesTokenizer, NGramAdapter, TableAdapter
from tests.session.conftest import TEXT

MODEL = NGramAdapter(TEXT)
NOISE = TableAdapter(lambda ids: np.random.default_rng(ids).normal(0, 2, 257), 257, tokenizer=BytesTokenizer())
LENGTH = 10
PARTS: list[tuple[str, dict[str, Any]]] = [
    ("temperature", {"temperature": 1.3}),
    ("top_k", {"top_k": 7}),
    ("top_p", {"top_p": 0.97}),
    ("repetition_penalty", {"repetition_penalty": 1.3}),
    ("frequency_penalty", {"frequency_penalty": 0.4}),
    ("presence_penalty", {"presence_penalty": 0.4}),
    ("dry", {"dry": 0.8, "allowed_length": 1, "breakers": []}),
    ("no_repeat_ngram", {"no_repeat_ngram": 3}),
    ("min_new_tokens", {"min_new_tokens": 9}),
    ("exponential_length_decay", {"exponential_length_decay": 1.1, "start": 5}),
    ("thinking_budget", {"thinking_budget": 5, "start": [116], "end": [10]}),
    ("xtc", {"xtc": 0.5, "threshold": 0.05}),
    ("llamacpp_xtc", {"llamacpp_xtc": 0.5, "threshold": 0.05, "seed": 6}),
    ("mirostat", {"mirostat": 2.0, "eta": 0.5}),
    ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5}),
    ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5, "surprise": "whole"}),
    ("adaptive_p", {"adaptive_p": 0.3}),
]
SAMPLERS: list[tuple[str, dict[str, Any]]] = [
    ("multinomial", {}), ("greedy", {}), ("inverse_cdf", {}), ("llamacpp_dist", {"llamacpp_dist": 11}),
    ("llamacpp_dist", {"law": "discrete", "order": "id"}), ("forced", {"forced": [*b"cat sat on the mat"]}),
]  # fmt: skip


def build(parts: Sequence[tuple[str, dict[str, Any]]], sampler: tuple[str, dict[str, Any]] = SAMPLERS[0]) -> Chain:
    return Chain([decodekit.processor(n, **p) for n, p in parts], decodekit.sampler(sampler[0], **sampler[1]))


class Cut:
    """An unbroken run in a file, and what is left of it when it breaks."""

    def __init__(self, folder: Path, chain: Chain, adapter: Any = MODEL, prompt: Any = "the ", **call: Any) -> None:
        self.folder, self.adapter = folder, adapter
        self.call = {"max_tokens": LENGTH, "trace": folder / "whole", **call}
        self.session = Session(adapter, chain, seed=5, top_logprobs=3)
        self.whole = self.session.generate(prompt, **self.call)
        self.prompt, self.word = prompt, verify(folder / "whole").word
        self.lines = (folder / "whole").read_bytes().splitlines(keepends=True)

    def at_length(self, tokens: int) -> Path:
        """As if the limit had been lower."""
        path = self.folder / "part"
        path.unlink(missing_ok=True)
        self.session.generate(self.prompt, **{**self.call, "max_tokens": tokens, "trace": path})
        return path

    def killed(self, steps: int, more: bytes = b"") -> Path:
        """As if the process had been killed after so many steps, in the middle of a line."""
        path = self.folder / "part"
        path.write_bytes(b"".join(self.lines[: steps + 1]) + more)
        return path

    def check(self, source: Path | decodekit.Trace, **options: Any) -> decodekit.Result:
        """Go on, and compare all contents of the two traces, the raw log-probabilities and scores among them."""
        target = self.folder / "again"
        target.unlink(missing_ok=True)
        (result,) = resume(source, self.adapter, max_tokens=self.call["max_tokens"], trace=target, **options)
        assert result.trace.footer == self.whole.trace.footer
        assert (result.text, result.token_ids) == (self.whole.text, self.whole.token_ids)
        assert result.finish_reason == self.whole.finish_reason
        assert read_trace(target).token_ids() == list(result.token_ids)
        assert verify(target).word == self.word
        return result
