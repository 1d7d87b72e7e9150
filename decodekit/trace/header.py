"""The parts of a trace other than its steps: header, sequence ends, footer, resumptions."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import numpy as np

from decodekit.draw.randomness import ALGORITHM
from decodekit.model.adapter import Adapter, AdapterInfo, AsyncAdapter
from decodekit.plugin.installed import our_version
from decodekit.text.tool_call import ToolCall
from decodekit.trace.by_value import ByValue
from decodekit.trace.step import FinishReason, Level

__all__ = [
    "FORMAT",
    "Footer",
    "Header",
    "Resumption",
    "SequenceEnd",
    "plain",
    "template_digest",
    "versions",
]

FORMAT = "decodekit-trace/1"


@dataclass(frozen=True, slots=True, eq=False)
class Header(ByValue):
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
        tools, tool_choice: given to the provider's model, in OpenAI's format. None, and left out of the file, where
            there were none.
        created: when the run began, in ISO 8601. It is no part of the contents, and equal runs differ in it.
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
    given: list[str | list[dict[str, Any]] | None] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    created: str = field(default_factory=lambda: _now(), compare=False)

    def content(self) -> dict[str, Any]:
        """As data, for the first line of a file."""
        data = asdict(self)
        del data["created"]
        for optional in ("given", "tools", "tool_choice"):
            if data[optional] is None:
                del data[optional]
        return data


@dataclass(frozen=True, slots=True)
class SequenceEnd:
    """How one sequence ended.

    Args:
        stream: its stream.
        tokens: how many tokens it has.
        finish_reason: why it ended.
        error: the message of the error it ended in, or None.
        tool_calls: the calls of tools that the provider's model wrote; left out of the file where there are none.
    """

    stream: int
    tokens: int
    finish_reason: FinishReason
    error: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    def content(self) -> dict[str, Any]:
        """As data, for the last line of a file."""
        data = asdict(self)
        if not self.tool_calls:
            del data["tool_calls"]
        return data


@dataclass(frozen=True, slots=True)
class Footer:
    """How a run ended.

    Args:
        ends: how each sequence ended.
        contents: one digest over the contents of the header and all steps; equal runs have equal ones.
        shortened: how many steps were shortened, because the file had a limit of bytes.
    """

    ends: list[SequenceEnd]
    contents: str
    shortened: int = 0


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a run was resumed. Not a part of the contents, which are those of an uninterrupted run.

    Args:
        steps: how many steps there were before.
        cut: how many bytes of an incomplete last line were left out.
        adapter: the `AdapterInfo`, as data, of the adapter after this place.
        versions: as in the header, after this place.
        created: when it was resumed, in ISO 8601.
    """

    steps: int
    cut: int
    adapter: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: versions())
    created: str = field(default_factory=lambda: _now(), compare=False)

    def content(self) -> dict[str, Any]:
        """As data, for a line of a file."""
        data = asdict(self)
        del data["created"]
        return data


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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
