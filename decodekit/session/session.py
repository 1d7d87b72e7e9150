"""`Session`: an adapter, a chain and a seed, for applications.

Each call is a run: it has one seed, its sequences have different streams, and the same call with the same seed gives
the same answer. A session closes only an adapter that it built.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Self, Unpack

from decodekit.chain import Chain
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, blocking
from decodekit.model.prefix import Prefix
from decodekit.session.driving import begun, finish, only_result, stream
from decodekit.session.options import GenerationKeywords, GenerationOptions
from decodekit.session.prompts import Prompt
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.settings import Settings
from decodekit.session.stop import OnUndisclosed, Stop
from decodekit.trace.step import Step
from decodekit.types import PathLike

__all__ = ["Prompt", "Result", "Session"]

_MOST_SAMPLES = 1_000_000


class Session:
    """Decodes prompts with one adapter and one chain.

    Args:
        adapter: any `Adapter` or `AsyncAdapter`. The session does not close it.
        chain: what to do with each distribution: a chain, a list of processors, one processor, or None.
        seed: the seed of every call without one; None takes a new random seed for each call and records it.
        on_undisclosed: what to do when a chain needs more than the adapter can disclose: 'error', or 'truncate' to
            what was shown, which is recorded.
        max_tokens: the default of every call.
        metadata: given to processors as ``ctx.metadata``.
        top_logprobs: how many leading tokens each step keeps, raw and after each processor.

    Raises:
        ParameterError: ``on_undisclosed`` or a number is not valid, or the adapter or the chain is not one.
    """

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
    ) -> None:
        if on_undisclosed not in ("error", "truncate"):
            raise ParameterError(f"on_undisclosed is 'error' or 'truncate', not {on_undisclosed!r}")
        if seed is not None:
            Randomness(seed)
        self.adapter = blocking(adapter)
        self._facade = (
            self.adapter if isinstance(self.adapter, BlockingAdapter) and self.adapter is not adapter else None
        )
        self.chain = Chain.of(chain)
        self.seed = seed
        self.on_undisclosed: OnUndisclosed = on_undisclosed
        self.max_tokens = Stop(max_tokens).max_tokens
        self.metadata = metadata
        self.top_logprobs = whole(top_logprobs, "top_logprobs", 0, 1000)
        self._owns_adapter = False
        self.config: dict[str, Any] | None = None

    def __repr__(self) -> str:
        behind = self.adapter.adapter if isinstance(self.adapter, BlockingAdapter) else self.adapter
        return f"Session({type(behind).__name__}, {self.chain!r}, seed={self.seed})"

    @classmethod
    def from_config(cls, config: PathLike | Mapping[str, Any]) -> Self:
        """A session from a TOML file or the same structure as a dict; the session closes the adapter it builds.

        Raises:
            ConfigError: the configuration is not valid; the message says what and where.
        """
        from decodekit.config import load_config

        resolved = load_config(config)
        chain = resolved.build_chain()
        session = cls(resolved.build_adapter(), chain, **resolved.session_options())
        session._owns_adapter = True
        session.config = resolved.as_data()
        return session

    @property
    def settings(self) -> Settings:
        """What a run of this session starts from, as it is now."""
        return Settings(
            adapter=self.adapter,
            chain=self.chain,
            seed=self.seed,
            on_undisclosed=self.on_undisclosed,
            top_logprobs=self.top_logprobs,
            metadata=self.metadata,
            config=self.config,
        )

    def close(self) -> None:
        """Close the adapter if this session built it. For a given async adapter, only end the thread of its loop."""
        if self._owns_adapter:
            self.adapter.close()
        elif self._facade is not None:
            self._facade.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def generate(self, prompt: Prompt, **options: Unpack[GenerationKeywords]) -> Result:
        """Continue one prompt.

        Args:
            prompt: text (no template is applied and markup is plain text; BOS and a leading space are added if the
                model's own tokenizer adds them), token ids, chat messages (the model's template is applied), or a
                `Prefix`.
            max_tokens: at most this many; the session's default when None.
            seed: the run's seed; the session's when None.
            stream: which noise of that seed to use; 0 by default.
            stop: texts that end the generation; they are cut from the text. The name of a control token also stands
                for that token.
            stop_ids: ids that end the generation.
            deadline: seconds from now after which no new token is started.
            until: a function that gets each `Step`; a true result ends the generation.
            trace: a file to write the trace to, step by step.
            level: 'choice', 'proof' (the default) or 'full'.
            ban: texts that must not be written; names of control tokens are allowed. When one is complete, decoding
                goes back to the token in which it begins and draws again (see `decodekit.session.bans`). A step is
                returned when it can no longer be taken back; ``until`` gets it earlier.

        Raises:
            DecodekitError: with everything generated so far in ``partial``.
            TypeError: an option that does not exist.
        """
        given = GenerationOptions.of(options, self.max_tokens)
        return only_result(finish(begun(self.settings, [prompt], [given.stream], given)))

    def stream(self, prompt: Prompt, **options: Unpack[GenerationKeywords]) -> Generator[Step, None, Result]:
        """As `generate`, one `Step` at a time. The texts of the steps, joined, are the result's text.

        Closing the iterator early ends the run as 'cancelled'; its trace is complete. The session does not keep the
        steps: an error's ``partial`` has the ids and the text, but no steps.
        """
        given = GenerationOptions.of(options, self.max_tokens)
        return _streamed(begun(self.settings, [prompt], [given.stream], given))

    def generate_many(
        self, prompts: Sequence[Prompt], *, n: int = 1, **options: Unpack[GenerationKeywords]
    ) -> list[list[Result]]:
        """Continue many prompts, ``n`` times each, in batches; the other options are those of `generate`.

        Sample j of prompt i uses stream ``i << 32 | j`` (plus ``stream``), so more prompts or samples do not change the
        noise of the others. A failing sequence ends with ``finish_reason='error'`` and does not end the others.

        Returns:
            For each prompt its n results.
        """
        n = whole(n, "n", 1, _MOST_SAMPLES)
        if isinstance(prompts, str | Prefix):
            raise ParameterError("generate_many takes a list of prompts; for one prompt use generate")
        given = GenerationOptions.of(options, self.max_tokens)
        streams = [given.stream + (i << 32 | j) for i in range(len(prompts)) for j in range(n)]
        results = finish(begun(self.settings, prompts, streams, given))
        return [results[i * n : (i + 1) * n] for i in range(len(prompts))]


def _streamed(run: Run) -> Generator[Step, None, Result]:
    return only_result((yield from stream(run, keep=False)))
