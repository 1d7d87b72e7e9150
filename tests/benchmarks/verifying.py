"""How fast a trace is verified, against the decoding that wrote it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import decodekit

from .decoding import CHAIN, PROMPT, Endless
from .timing import Ratio, paired


def measure(rounds: int = 5, tokens: int = 300) -> Iterator[Ratio]:
    """All rows of the table; each is per token, file reading and chain of lines included."""
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=2048)
    cases = (("truncated draws", CHAIN, 50.0), ("untruncated draws", (), 15.0))
    with tempfile.TemporaryDirectory() as folder:
        for what, parts, goal in cases:
            chain = decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in parts])
            session = decodekit.Session(Endless(adapter), chain)  # type: ignore[arg-type]
            path = Path(folder) / what
            session.generate(PROMPT, max_tokens=tokens, seed=1, trace=path)
            assert decodekit.verify(path).counts == {"proved": tokens}
            size = path.stat().st_size / tokens
            entries = sum(len(step.evidence.token_ids) for step in decodekit.read_trace(path).steps) / tokens  # type: ignore[union-attr]
            print(f"trace of {what}: {size:.0f} bytes and {entries:.1f} final scores per token")
            yield paired(
                f"verify, {what}, {tokens} tokens", "live decoding of the same run",
                lambda path=path: decodekit.verify(path),
                lambda session=session: session.generate(PROMPT, max_tokens=tokens, seed=1),
                rounds=rounds, goal=goal,
            )  # fmt: skip
