"""The parts of a trace other than its steps: header, sequence ends, footer, resumptions, and the whole trace."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from decodekit.draw.randomness import ALGORITHM
from decodekit.errors import TraceError
from decodekit.model.adapter import Adapter, AdapterInfo, AsyncAdapter
from decodekit.plugin.installed import our_version
from decodekit.trace.step import FinishReason, Level, Step

__all__ = [
    "FORMAT",
    "Footer",
    "Header",
    "Resumption",
    "SequenceEnd",
    "Trace",
    "plain",
    "template_digest",
    "versions",
]

FORMAT = "decodekit-trace/1"


@dataclass(frozen=True, slots=True)
class Header:
    """What a run started from.

    Args:
        seed: the seed of all its noise.
        level: 'none', 'choice', 'proof' or 'full'.
        prompts: the token ids of each prompt.
        sequences: (stream, index of its prompt) of each sequence.
        chain: processors and sampler, with the distribution and version each came from.
        adapter: the adapter's `AdapterInfo` as data.
        on_undisclosed: 'error' or 'truncate'.
        stop: max_tokens, strings, ids.
        top_logprobs: how many leading tokens each step keeps.
        metadata: the names of the metadata given to processors; the values are not recorded.
        config: the resolved configuration, if the session was made from one.
        versions: decodekit, numpy and Python.
        chat_template: BLAKE2b of the model's chat template; '' without one.
        format: the format's name and version.
        rng: the random number algorithm's name and version.
        given: the prompts as they were given, text or messages, if their ids alone do not determine the model's input:
            the server takes texts or messages. Otherwise None, and left out of the file.
    """

    seed: int
    level: Level
    prompts: list[list[int]]
    sequences: list[tuple[int, int]]
    chain: dict[str, Any]
    adapter: dict[str, Any]
    on_undisclosed: str = "error"
    stop: dict[str, Any] = field(default_factory=dict)
    top_logprobs: int = 5
    metadata: list[str] = field(default_factory=list)
    config: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=lambda: versions())
    chat_template: str = ""
    format: str = FORMAT
    rng: str = ALGORITHM
    given: list[str | list[dict[str, str]] | None] | None = None

    def content(self) -> dict[str, Any]:
        """As data, for the first line of a file."""
        data = asdict(self)
        if self.given is None:
            del data["given"]
        return data


@dataclass(frozen=True, slots=True)
class SequenceEnd:
    """How one sequence ended.

    Args:
        stream: its stream.
        tokens: how many tokens it has.
        finish_reason: why it ended.
        error: the message of the error it ended in, or None.
    """

    stream: int
    tokens: int
    finish_reason: FinishReason
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Footer:
    """How a run ended.

    Args:
        ends: how each sequence ended.
        contents: one digest over the contents of the header and all steps; equal runs have equal ones.
    """

    ends: list[SequenceEnd]
    contents: str


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a run was resumed. Not a part of the contents, which are those of an uninterrupted run.

    Args:
        steps: how many steps there were before.
        cut: how many bytes of an incomplete last line were left out.
        adapter: the `AdapterInfo`, as data, of the adapter after this place.
        versions: as in the header, after this place.
    """

    steps: int
    cut: int
    adapter: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: versions())


@dataclass(slots=True)
class Trace:
    """A run: its header, its steps in the order they were made, and its footer.

    Args:
        header: what it started from.
        steps: one per token; `Step.stream` says of which sequence.
        footer: None if the run has no recorded end: the trace is incomplete.
        resumed: where it was resumed, if it was.
    """

    header: Header
    steps: list[Step]
    footer: Footer | None
    resumed: list[Resumption] = field(default_factory=list)

    def __repr__(self) -> str:
        reasons = [] if self.footer is None else [str(end.finish_reason) for end in self.footer.ends]
        ends = "incomplete" if self.footer is None else ", ".join(dict.fromkeys(reasons)) or "no sequence"
        number = len(self.header.sequences)
        counts = f"{len(self.steps)} steps, {number} sequence{'' if number == 1 else 's'}, {self.header.level!r}"
        return f"Trace({counts}, seed={self.header.seed}, {ends})"

    def token_ids(self, stream: int = 0) -> list[int]:
        """The tokens of one sequence."""
        return [step.token_id for step in self.steps if step.stream == stream]

    def wrong_ends(self) -> str | None:
        """What is wrong with the footer's ends: one per sequence, its tokens counted, a text for an error only."""
        ends = self.footer.ends if self.footer is not None else []
        streams = [stream for stream, _ in self.header.sequences]
        if [end.stream for end in ends] != streams:
            return f"the footer ends the streams {[end.stream for end in ends]}, the header begins {streams}"
        counts = Counter(step.stream for step in self.steps)
        for end in ends:
            if counts[end.stream] != end.tokens:
                return (
                    f"the footer counts {end.tokens} tokens in stream {end.stream}, and there are "
                    f"{counts[end.stream]} steps; the steps of a streamed run are only in its trace file"
                )
            if (end.error is not None) != (end.finish_reason == "error") or end.error == "":
                return f"stream {end.stream} ended as {end.finish_reason!r}, with the error {end.error!r}"
        return None

    def ended_early(self) -> str | None:
        """Which sequence ended as 'length' with room for more; None for none, as far as the record says."""
        ends = self.footer.ends if self.footer is not None else []
        for end in ends:
            if end.finish_reason == "length" and not self._was_long_enough(end):
                return f"stream {end.stream} ended as 'length' after {end.tokens} tokens, with room for more"
        return None

    def _was_long_enough(self, end: SequenceEnd) -> bool:
        """Whether a sequence reached its limit or, after a token at least, filled the context."""
        most = self.header.stop.get("max_tokens")
        if most is None or end.tokens >= most:
            return True
        adapter = self.resumed[-1].adapter if self.resumed else self.header.adapter
        room = adapter.get("context_length")
        if not isinstance(room, int) or not adapter.get("deterministic"):  # a server counts in its own way
            return end.tokens > 0
        return len(self.prompt_of(end.stream)) + end.tokens > room > 0

    def prompt_of(self, stream: int) -> list[int]:
        """The prompt of one sequence. Raises `TraceError` for a stream the header does not name."""
        for known, prompt in self.header.sequences:
            if known == stream and 0 <= prompt < len(self.header.prompts):
                return self.header.prompts[prompt]
        raise TraceError(f"the header names no sequence with stream {stream}")


def versions() -> dict[str, str]:
    """The versions that influence a run: decodekit, numpy, Python and the machine type."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"decodekit": our_version(), "numpy": np.__version__, "python": python, "machine": platform.machine()}


def plain(info: AdapterInfo) -> dict[str, Any]:
    """An adapter's info as data, for the record."""
    return asdict(replace(info, versions=dict(info.versions)))


def template_digest(adapter: Adapter | AsyncAdapter) -> str:
    """BLAKE2b of the model's chat template; '' without one."""
    template = getattr(adapter.tokenizer, "chat_template", None)
    return blake2b(template.encode(), digest_size=16).hexdigest() if isinstance(template, str) else ""
