"""The options of a call: names and types for all methods of a session, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast, get_args

import numpy as np

from decodekit.chain import Chain
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief, did_you_mean
from decodekit.plugin.callback import require_function
from decodekit.plugin.group import ELSEWHERE
from decodekit.plugin.one_line import in_chain
from decodekit.plugin.protocols import Guesser
from decodekit.session.guessing import GivenGuesser, NamedGuesser, guesser_of
from decodekit.session.progress import ProgressCallback
from decodekit.session.schema import Schema
from decodekit.session.stop import Stop
from decodekit.text.tools import Tools
from decodekit.trace.sinks import Sink, TraceTarget, sinks_of
from decodekit.trace.step import Level, Step

__all__ = ["GenerationKeywords", "GenerationOptions", "ManyKeywords", "ResumeKeywords", "checked_deadline", "meant"]


MOST_WAITING = 10_000  # callers; they wait longer than anybody would, and a program that makes more is in error
_NONE_IS_NOT_GIVEN = ("max_tokens", "deadline")
_LONGEST_WAIT = 3.15e9  # seconds
_MOST_SAMPLES = 1_000_000


class _AnyRun(TypedDict, total=False):
    max_tokens: int | None
    deadline: float | None
    until: Callable[[Step], bool] | None
    trace: TraceTarget | None
    guesser: Guesser | NamedGuesser | None


class GenerationKeywords(_AnyRun, total=False):
    """What `Session.generate`, `Session.stream` and `Session.generate_many` take by keyword; see `generate`."""

    seed: int | None
    stream: int
    stop: Sequence[str] | str
    stop_ids: Sequence[int]
    level: Level
    ban: Sequence[str]
    chain: Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None
    top_logprobs: int | None
    metadata: Mapping[str, Any] | None
    schema: Any
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    priority: int
    max_waiting: int


class ManyKeywords(GenerationKeywords, total=False):
    """What `Session.generate_many` and `Session.as_completed` take by keyword; see `generate_many`."""

    n: int
    progress: ProgressCallback | None


class ResumeKeywords(_AnyRun, total=False):
    """What `resume` and `resume_stream` take by keyword; see `resume`."""

    chain: Chain | None
    metadata: Mapping[str, Any] | None
    schema: Any


ELSEWHERE.update(dict.fromkeys(ManyKeywords.__annotations__, "an option of the call, and no part of a chain"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """The options of one call, checked.

    Args:
        stop: when a sequence ends.
        seed: of the run; the session's when None.
        stream: which noise of that seed to use.
        deadline: seconds from the start after which no new token is started; None for no limit.
        trace: where the steps are written.
        level: 'none', 'choice', 'proof' or 'full'.
        ban: texts that must not be written.
        chain, top_logprobs, metadata, guesser: of this call; the session's when None.
        schema: what the texts must be.
        tools: those that the model of a provider may call.
        priority: among callers that wait for the same model, a higher one goes first.
        max_waiting: the call begins only if no more callers wait for the model.
        n: how many sequences of each prompt.
        progress: a function that gets a `Progress` each time sequences have ended.

    Raises:
        ParameterError: a value that no run can have.
    """

    stop: Stop
    seed: int | None = None
    stream: int = 0
    deadline: float | None = None
    trace: tuple[Sink, ...] = ()
    level: Level = "proof"
    ban: Sequence[str] = ()
    chain: Chain | None = None
    top_logprobs: int | None = None
    metadata: Mapping[str, Any] | None = None
    schema: Schema | None = None
    tools: Tools | None = None
    priority: int = 0
    max_waiting: int = MOST_WAITING
    guesser: GivenGuesser = None
    n: int = 1
    progress: ProgressCallback | None = None

    def __post_init__(self) -> None:
        if self.level not in get_args(Level):
            raise ParameterError(f"level is one of {', '.join(map(repr, get_args(Level)))}, not {self.level!r}")
        if self.level == "none" and self.trace:
            raise ParameterError("level='none' records nothing, so there is nothing for trace=; use level='choice'")
        if self.level == "none" and self.top_logprobs is not None:
            raise ParameterError("level='none' records nothing, so there is nothing for top_logprobs=; leave one out")
        if self.stop.until is not None:
            require_function(self.stop.until, "until", "a step")
        if isinstance(self.ban, str) or not isinstance(self.ban, Sequence):
            raise ParameterError(f"ban is a list of texts, not {self.ban!r}")
        object.__setattr__(self, "n", whole(self.n, "n", 1, _MOST_SAMPLES))
        if self.progress is not None:
            require_function(self.progress, "progress", "a Progress")
        object.__setattr__(self, "deadline", checked_deadline(self.deadline))
        if isinstance(self.stream, bool):
            raise ParameterError(
                "stream is the number of a random stream; Session.stream(...) gives steps as they come"
            )
        object.__setattr__(self, "stream", whole(self.stream, "stream", 0, 2**64 - 1))
        object.__setattr__(self, "priority", whole(self.priority, "priority", -1000, 1000))
        object.__setattr__(self, "max_waiting", whole(self.max_waiting, "max_waiting", 0, 2**31 - 1))
        if self.top_logprobs is not None:
            object.__setattr__(self, "top_logprobs", whole(self.top_logprobs, "top_logprobs", 0, 1000))
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise ParameterError(f"metadata is a dict of names and values, not {brief(self.metadata)}")

    def own_settings(self) -> dict[str, Any]:
        """The settings of a session that this call has its own values for."""
        named = {
            "chain": self.chain,
            "top_logprobs": self.top_logprobs,
            "metadata": self.metadata,
            "guesser": self.guesser,
        }
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def of(
        cls, given: GenerationKeywords, defaults: GenerationKeywords, keywords: type = GenerationKeywords
    ) -> GenerationOptions:
        """The keywords of a call, and the session's for those that it does not give.

        Args:
            given: the keywords.
            defaults: the session's; ``max_tokens`` is among them.
            keywords: `GenerationKeywords`, or `ManyKeywords`.

        Raises:
            TypeError: an unknown keyword.
            ParameterError: a value that no run can have.
        """
        known = keywords.__annotations__
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise TypeError(f"there is no generation option {unknown[0]!r}{meant(unknown[0], given, known)}")
        own = {key: value for key, value in given.items() if value is not None or key not in _NONE_IS_NOT_GIVEN}
        given = cast(GenerationKeywords, {**defaults, **own})
        stop = Stop(
            max_tokens=given["max_tokens"] or 0,
            strings=_strings(given.get("stop", ())),
            ids=_ids(given.get("stop_ids", ())),
            until=given.get("until"),
        )
        return cls(
            stop=stop,
            seed=given.get("seed"),
            stream=given.get("stream", 0),
            deadline=given.get("deadline"),
            trace=sinks_of(given.get("trace")),
            level=given.get("level", "proof"),
            ban=given.get("ban", ()),
            chain=None if given.get("chain") is None else Chain.of(given["chain"]),
            top_logprobs=given.get("top_logprobs"),
            metadata=given.get("metadata"),
            schema=None if given.get("schema") is None else Schema.of(given["schema"]),
            tools=Tools.of(given.get("tools"), given.get("tool_choice")),
            priority=given.get("priority", 0),
            max_waiting=given.get("max_waiting", MOST_WAITING),
            guesser=guesser_of(given.get("guesser")),
            n=given.get("n", 1),  # type: ignore[arg-type]  # of `ManyKeywords`; checked there
            progress=given.get("progress"),  # type: ignore[arg-type]
        )


def meant(name: str, given: Mapping[str, Any], known: Iterable[str]) -> str:
    """What was meant by an option that there is not: a part of the chain, one of another call, or one of the known.

    Args:
        name: of the option.
        given: all that were given, by name.
        known: those that there are.
    """
    if name in ManyKeywords.__annotations__ and name not in known:
        return f"; {'generate_many has' if name in ('n', 'progress') else 'generate has'} it"
    return in_chain(name, given[name]) or did_you_mean(name, known)


def checked_deadline(deadline: object) -> float | None:
    """A number of seconds that a machine can wait, or None for no limit: infinity is one, and so is a century.

    Raises:
        ParameterError: something else.
    """
    if deadline is None:
        return None
    number = deadline.item() if isinstance(deadline, np.number) else deadline
    if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
        raise ParameterError(f"deadline is a number of seconds from now, 0 or more, not {deadline!r}")
    return None if number > _LONGEST_WAIT else float(number)


def _strings(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Sequence):
        raise ParameterError(f"stop takes a string or a list of strings, not {given!r}")
    return tuple(given)


def _ids(given: object) -> frozenset[int]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ParameterError(f"stop_ids takes a list of token ids, not {given!r}")
    return frozenset(whole(token_id, "an id in stop_ids", 0, 2**63 - 1) for token_id in given)
