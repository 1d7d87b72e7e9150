"""What a blocking and an async session have in common: their settings, and the runs they start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from decodekit.chain import Chain
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.plugin.protocols import Guesser
from decodekit.session.guessing import NamedGuesser, guesser_of
from decodekit.session.options import GenerationKeywords, GenerationOptions
from decodekit.session.prompts import Prompt
from decodekit.session.settings import Settings
from decodekit.session.stop import OnUndisclosed, Stop
from decodekit.types import PathLike

__all__ = ["BaseSession", "streams_of"]

_MOST_SAMPLES = 1_000_000


class BaseSession:
    """An adapter, a chain and a seed. `Session` documents the arguments."""

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
        self.max_tokens = Stop(max_tokens).max_tokens
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
    def from_config(cls, config: PathLike | Mapping[str, Any]) -> Self:
        """A session from a TOML file or the same structure as a dict; the session closes the adapter it builds.

        Raises:
            ConfigError: the configuration is not valid; the message says what and where.
        """
        from decodekit.config import load_config

        resolved = load_config(config)
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
        return settings if call is None else replace(settings, **call.own_settings())

    def options_of(self, given: GenerationKeywords) -> GenerationOptions:
        """The options of one call. Raises as `GenerationOptions.of`."""
        return GenerationOptions.of(given, self.max_tokens)


def streams_of(prompts: Sequence[Prompt], n: int, first: int) -> list[int]:
    """The stream of each of ``n`` samples of each prompt: ``first + (prompt << 32 | sample)``.

    Raises:
        ParameterError: one prompt in place of a list of them, or a number of samples out of range.
    """
    n = whole(n, "n", 1, _MOST_SAMPLES)
    if isinstance(prompts, str | Prefix) or not isinstance(prompts, Sequence):
        raise ParameterError("generate_many takes a list of prompts; for one prompt use generate")
    return [first + (i << 32 | j) for i in range(len(prompts)) for j in range(n)]
