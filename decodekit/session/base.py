"""What a blocking and an async session have in common: their settings, and the runs they start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, Self, cast

from decodekit.chain import Chain
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.pickling import OfOneProcess
from decodekit.model.prefix import Prefix
from decodekit.plugin.protocols import Guesser
from decodekit.session.guessing import NamedGuesser, guesser_of
from decodekit.session.options import GenerationKeywords, GenerationOptions, meant
from decodekit.session.prompts import Prompt
from decodekit.session.settings import Settings
from decodekit.session.stop import OnUndisclosed
from decodekit.types import PathLike

__all__ = ["BaseSession", "known_prompts", "prompts_and_streams"]

_MOST_SEQUENCES = 10_000_000  # of a list of prompts: each is named in the header of the record

Init = ParamSpec("Init")


def _names_unknown_options(init: Callable[Init, None]) -> Callable[Init, None]:
    """An ``__init__`` that says of an option that there is not what was meant."""

    takes = list(signature(init).parameters.values())
    known = [each.name for each in takes if each.kind is each.KEYWORD_ONLY]
    named = {each.name for each in takes}

    @wraps(init)
    def checked(*args: Init.args, **options: Init.kwargs) -> None:
        unknown = [name for name in options if name not in named]
        if unknown:
            raise TypeError(f"a session has no option {unknown[0]!r}{meant(unknown[0], options, known)}")
        init(*args, **options)

    return checked


class BaseSession(OfOneProcess):
    """An adapter, a chain and a seed. `Session` documents the arguments."""

    @_names_unknown_options
    def __init__(
        self,
        adapter: Adapter | AsyncAdapter,
        chain: Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | None = None,
        *,
        seed: int | None = None,
        on_undisclosed: OnUndisclosed = "error",
        max_tokens: int = 256,
        metadata: Mapping[str, Any] | None = None,
        top_logprobs: int = 5,
        guesser: Guesser | NamedGuesser | None = None,
        stop: Sequence[str] | str = (),
        stop_ids: Sequence[int] = (),
        ban: Sequence[str] = (),
        deadline: float | None = None,
    ) -> None:
        if on_undisclosed not in ("error", "truncate"):
            raise ParameterError(f"on_undisclosed is 'error' or 'truncate', not {on_undisclosed!r}")
        if seed is not None:
            Randomness(seed)
        self.given_adapter = adapter
        self.adapter = self._usable(adapter)
        self.chain = Chain.of(chain)
        self.seed = seed
        self.on_undisclosed: OnUndisclosed = on_undisclosed
        given = GenerationOptions.of(
            {"stop": stop, "stop_ids": stop_ids, "ban": ban, "deadline": deadline, "metadata": metadata},
            {"max_tokens": max_tokens},
        )
        self.max_tokens = given.stop.max_tokens
        self.stop, self.stop_ids = given.stop.strings, tuple(sorted(given.stop.ids))
        self.ban, self.deadline = tuple(given.ban), given.deadline
        self.metadata = metadata
        self.top_logprobs = whole(top_logprobs, "top_logprobs", 0, 1000)
        self.guesser = guesser_of(guesser)
        self.owns_adapter = False
        self.close_guesser: Callable[[], None] | None = None
        self.config: dict[str, Any] | None = None

    def _usable(self, adapter: Adapter | AsyncAdapter) -> Adapter | AsyncAdapter:
        """The adapter in the form that this kind of session asks."""
        return adapter

    @classmethod
    def from_config(cls, config: PathLike | Mapping[str, Any], *, profile: str | None = None) -> Self:
        """A session from a TOML file or the same structure as a dict; the session closes the adapter it builds.

        Args:
            config: the file, over which variables of the environment are laid, or the dict.
            profile: the ``[profiles.NAME]`` of it to use.

        Raises:
            ConfigError: the configuration is not valid; the message says what and where.
        """
        from decodekit.config import load_config

        resolved = load_config(config, profile=profile)
        chain = resolved.build_chain()
        guesser = resolved.build_guesser()
        close = getattr(guesser, "close", None)
        try:
            session = cls(resolved.build_adapter(), chain, guesser=guesser, **resolved.session_options())
        except BaseException:
            if close is not None:
                close()
            raise
        session.owns_adapter, session.close_guesser = True, close
        session.config = resolved.as_data()
        return session

    @property
    def settings(self) -> Settings:
        """What a run of this session starts from, as it is now."""
        return self.settings_of(None)

    def settings_of(self, call: GenerationOptions | None) -> Settings:
        """What one call starts from: its own settings, and the session's for those that it does not have."""
        settings = Settings(
            adapter=self.adapter,
            chain=self.chain,
            seed=self.seed,
            on_undisclosed=self.on_undisclosed,
            top_logprobs=self.top_logprobs,
            metadata=self.metadata,
            guesser=self.guesser,
            config=self.config,
        )
        if call is None:
            return settings
        settings = replace(settings, **call.own_settings())
        return settings if call.schema is None else replace(settings, chain=call.schema.before(settings.chain))

    def options_of(self, given: GenerationKeywords, keywords: type = GenerationKeywords) -> GenerationOptions:
        """The options of one call. Arguments and errors are those of `GenerationOptions.of`."""
        return GenerationOptions.of(given, self.call_defaults(), keywords)

    def call_defaults(self) -> GenerationKeywords:
        """The options of a call that gives none of its own."""
        return {
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            "stop_ids": self.stop_ids,
            "ban": self.ban,
            "deadline": self.deadline,
        }


def known_prompts(prompts: Iterable[Prompt]) -> Sequence[Prompt]:
    """The prompts of `generate_many`, which returns all results together.

    Raises:
        ParameterError: one prompt in place of several, what has no order, or an iterator.
    """
    known, streams = prompts_and_streams(prompts, 1, 0)
    if streams is None:
        raise ParameterError(
            "generate_many returns all results together, so it takes a list of prompts; as_completed reads an iterator "
            "as it goes"
        )
    return cast(Sequence[Prompt], known)


def prompts_and_streams(prompts: Iterable[Prompt], n: int, first: int) -> tuple[Iterable[Prompt], list[int] | None]:
    """The arguments of a `Run` for ``n`` samples of each prompt, on the streams ``first + (prompt << 32 | sample)``.

    The streams are None for prompts that are not a list, which the run reads one by one.

    Raises:
        ParameterError: one prompt in place of several, what has no order, or too many sequences.
    """
    alone = isinstance(prompts, str | bytes | bytearray | Prefix | Mapping | Set)
    if alone or not isinstance(prompts, Iterable):
        if hasattr(prompts, "__aiter__"):
            raise ParameterError("prompts: a list or an iterator, not an async one; read it into a list first")
        raise ParameterError("a call of several takes a list of prompts; for one prompt use generate or stream")
    if not isinstance(prompts, Sequence):
        return prompts, None
    if (first & 0xFFFF_FFFF) + n > 2**32 or first + (max(len(prompts) - 1, 0) << 32) + n > 2**64:
        raise ParameterError(
            f"stream: with {n} samples of {len(prompts)} prompts from {first} on, streams would go beyond 2**64 or "
            "into those of the next prompt; a stream is the prompt's number << 32 | the sample's"
        )
    if n * len(prompts) > _MOST_SEQUENCES:
        raise ParameterError(
            f"n: {n} samples of {len(prompts)} prompts are more than {_MOST_SEQUENCES} sequences; give the prompts to "
            "as_completed as an iterator"
        )
    return prompts, [first + (i << 32 | j) for i in range(len(prompts)) for j in range(n)]
