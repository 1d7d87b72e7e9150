"""The outcome of ``decodekit generate`` or ``resume``: its samples, what is printed of them, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import typer

from decodekit.cli.output import put, say
from decodekit.errors import DecodekitError
from decodekit.session import Result
from decodekit.text.counted import counted
from decodekit.text.safe_text import safe_text
from decodekit.text.tool_call import ToolCall
from decodekit.trace import Trace
from decodekit.trace.step import Step

__all__ = ["RunOutcome", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One sequence, complete or not, with or without a `Result`.

    Args:
        usage, complete: as in `Result.to_dict`; None for a sequence that was ended from outside.
    """

    stream: int
    finish_reason: str
    text: str
    token_ids: tuple[int, ...]
    error: str | None = None
    usage: dict[str, int | None] | None = None
    complete: bool | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    @classmethod
    def of(cls, result: Result) -> Sample:
        """The sample of a sequence that ended by itself."""
        error = None if result.error is None else str(result.error)
        return cls(
            result.stream,
            result.finish_reason,
            result.text,
            result.token_ids,
            error,
            asdict(result.usage),
            result.complete,
            result.tool_calls,
        )

    @classmethod
    def cut(
        cls,
        steps: Iterable[Step],
        reason: str,
        stream: int = 0,
        error: str | None = None,
        tool_calls: tuple[ToolCall, ...] = (),
    ) -> Sample:
        """The sample of a sequence that was ended from outside after these steps of the run."""
        kept = [step for step in steps if step.stream == stream]
        text, token_ids = "".join(step.text for step in kept), tuple(step.token_id for step in kept)
        return cls(stream, reason, text, token_ids, error, tool_calls=tool_calls)

    def data(self, seed: int) -> dict[str, Any]:
        """The sample as plain data, in the shape of `Result.to_dict`."""
        return {
            "text": self.text,
            "token_ids": list(self.token_ids),
            "finish_reason": self.finish_reason,
            "tool_calls": [call.to_dict() for call in self.tool_calls],
            "complete": self.complete,
            "error": self.error,
            "seed": seed,
            "stream": self.stream,
            "usage": self.usage,
        }


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Args:
        samples: one for each stream.
        trace: the record; None where the run was ended from outside.
        error: what ended the run, if an error did.
    """

    samples: list[Sample]
    trace: Trace | None = None
    error: DecodekitError | None = None

    @property
    def exit_code(self) -> int:
        """130 after an interrupt, 1 if a sample failed, else 0."""
        reasons = {sample.finish_reason for sample in self.samples}
        return 130 if "cancelled" in reasons else 1 if "error" in reasons else 0

    def data(self, call: dict[str, Any]) -> dict[str, Any]:
        """As plain data of one shape, with what is needed to repeat the call; ``results`` has one item per sample."""
        path, seed = call["trace"], call["seed"]
        results = [sample.data(seed) for sample in self.samples]
        return {"seed": seed, "trace": None if path is None else str(path), "results": results}

    def show_samples(self) -> None:
        """Print the texts one below the other."""
        show = (lambda text: safe_text(text, newlines=True)) if sys.stdout.isatty() else str
        for at, sample in enumerate(self.samples):
            put(("---\n" if at else "") + show(sample.text) + "\n")
            if sample.error is not None:
                say(f"sample {at}: {sample.error}")

    def show_calls(self) -> None:
        """Print the calls of tools on stderr, a line each."""
        for at, sample in enumerate(self.samples):
            for call in sample.tool_calls:
                say(f"{f'sample {at} ' if len(self.samples) > 1 else ''}calls {call.line}")

    def sum_up(self, call: dict[str, Any]) -> None:
        """Print one line on a terminal: what is needed to repeat the call."""
        tokens = sum(len(sample.token_ids) for sample in self.samples)
        reasons = ", ".join(sorted({sample.finish_reason for sample in self.samples}))
        path = call["trace"]
        recorded = "" if path is None else f", trace {safe_text(str(path))}"
        with suppress(OSError):
            typer.secho(f"{counted(tokens, 'token')}, {reasons}, seed {call['seed']}{recorded}", err=True, dim=True)
