"""Between transformers' `generate` and decodekit: a logits processor as a processor, a chain as a logits processor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.errors import ConfigError, ParameterError, PluginError

__all__ = ["as_logits_processor", "hf_logits_processor"]

_PURE = frozenset(
    [f"{name}LogitsWarper" for name in ("Epsilon", "Eta", "MinP", "Temperature", "TopH", "TopK", "TopP", "Typical")]
    + [
        f"{name}LogitsProcessor"
        for name in (
            *("EncoderNoRepeatNGram", "EncoderRepetitionPenalty", "ForcedBOSToken", "ForcedEOSToken", "InfNanRemove"),
            *("MinLength", "MinNewTokensLength", "NoBadWords", "NoRepeatNGram", "RepetitionPenalty", "SequenceBias"),
            *("SuppressTokens", "SuppressTokensAtBegin"),
        )
    ]
)
"""Classes of transformers whose only state is their parameters."""


class _TransformersProcessor:
    """A transformers logits processor in a decodekit chain."""

    needs = ALL
    revives = True

    def __init__(self, call: Callable[..., Any], name: str, *, pure: bool, needs_logits: bool) -> None:
        self._call = call
        self.name = name
        self.pure = pure
        self.needs_logits = needs_logits

    def __repr__(self) -> str:
        return f"hf_logits_processor({self._call!r})"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Needs the whole vocabulary; raises `Undisclosed` on a head with a tail."""
        ids = np.concatenate([np.asarray(part, dtype=np.int64) for part in (ctx.prompt_ids, ctx.output_ids)])
        if dist.vocab_size is None:
            raise PluginError("the size of the vocabulary is unknown", plugin=self.name, step=ctx.step)
        row = np.full(dist.vocab_size, -math.inf)
        support = dist.support()
        row[support] = dist.scores_of(support)
        scores = torch.from_numpy(row.astype(np.float32))[None]
        with torch.inference_mode():
            after = self._call(torch.from_numpy(ids)[None], scores)
        if not isinstance(after, torch.Tensor) or after.shape != scores.shape:
            what = tuple(after.shape) if isinstance(after, torch.Tensor) else type(after).__name__
            raise PluginError(
                f"a logits processor returns scores of shape {tuple(scores.shape)}, not {what}",
                plugin=self.name,
                step=ctx.step,
            )
        changed = after[0].double().numpy()
        if dist.token_ids is None:
            return dist.with_scores(changed)
        return Distribution.dense(
            changed, origin=dist.origin, stage="processed", temperature=dist.temperature, schedule=dist.schedule
        )


def hf_logits_processor(
    processor: Callable[..., Any], *, name: str | None = None, pure: bool | None = None, needs_logits: bool = True
) -> Any:
    """A transformers ``LogitsProcessor``, or any ``(input_ids, scores) -> scores`` on tensors, as a processor.

    It is called with int64[1, n], the prompt and what was generated, and float32[1, V], as `generate` calls it.

    Args:
        processor: the callable.
        name: its name in records; by default its class or function name.
        pure: whether it may be run twice for one step. None means True for the classes of transformers whose only state
            is their parameters, and False for all others.
        needs_logits: refuse a backend that gives logprobs: most functions of scores depend on their offset.

    Raises:
        ParameterError: it is not callable.
    """
    if not callable(processor):
        raise ParameterError(f"a logits processor is callable, not {processor!r}")
    kind = type(processor)
    known = kind.__module__.startswith("transformers.") and kind.__name__ in _PURE
    called = name or getattr(processor, "__name__", None) or kind.__name__
    return _TransformersProcessor(processor, called, pure=known if pure is None else pure, needs_logits=needs_logits)


@dataclass(frozen=True, slots=True)
class _SequenceState:
    """One sequence between two steps: its tokens, the distributions of the step, and the chain's own choice."""

    ids: bytes
    context: Context
    states: tuple[Any, ...]
    raw: Distribution
    final: Distribution
    choice: Choice
    states_after: tuple[Any, ...]
    randomness: Randomness


class _ChainProcessor:
    """See `as_logits_processor`. A row continues the one at its index, or another with its ids: beams are reordered."""

    supports_continuous_batching = False

    def __init__(self, chain: Chain, seed: int | None, stream: int, draw: bool, pad_id: int | None) -> None:
        self._chain = chain
        self._seed = Randomness(seed).seed
        self._stream = stream
        self._draw = draw
        self._pad_id = pad_id
        self._rows: list[_SequenceState] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        ids = input_ids.cpu().numpy().astype(np.int64)
        before = self._matching([row[:-1].tobytes() for row in ids])
        given = scores.float() if scores.dtype not in (torch.float32, torch.float64) else scores
        after = torch.full(scores.shape, -math.inf, dtype=torch.float32)
        rows = []
        for place, numbers in enumerate(given.cpu().numpy()):
            if before is not None:
                context, states, randomness = self._advanced(before[place], int(ids[place, -1]))
            else:
                context = Context(prompt_ids=TokenIds(self._without_padding(ids[place])))
                states, randomness = self._chain.initial(context), Randomness(self._seed, self._stream + place)
            raw = Distribution.dense(numbers)
            final, choice, _, then = self._chain.step(raw, context, states, randomness.at(context.step))
            rows.append(_SequenceState(ids[place].tobytes(), context, states, raw, final, choice, then, randomness))
            if self._draw:
                after[place, choice.token_id] = 0.0
            else:
                support = final.support()
                after[place, torch.from_numpy(support.copy())] = torch.from_numpy(final.scores_of(support)).float()
        self._rows = rows
        return after.to(scores)

    def _matching(self, pasts: Sequence[bytes]) -> list[_SequenceState] | None:
        """The rows of the last call that these continue; None when this is a new generation."""
        by_content = {row.ids: row for row in self._rows}
        found = []
        for place, past in enumerate(pasts):
            here = self._rows[place] if place < len(self._rows) else None
            row = here if here is not None and here.ids == past else by_content.get(past)
            if row is None:
                return None
            found.append(row)
        return found

    def _advanced(self, row: _SequenceState, token: int) -> tuple[Context, tuple[Any, ...], Randomness]:
        """The row after the token that `generate` chose."""
        states = row.states_after
        if token != row.choice.token_id and self._chain.pure and any(state is not None for state in states):
            logprob = row.final.logprob(token)
            choice = Choice(
                token_id=token,
                logprob=logprob,
                raw_logprob=row.raw.logprob(token),
                rank=row.raw.rank(token),
                score=logprob,
                margin=math.inf,
            )
            noise = row.randomness.at(row.context.step)
            *_, states = self._chain.step(row.raw, row.context, row.states, noise, forced=choice)
        outputs = row.context.output_ids
        grown = outputs.append(token) if isinstance(outputs, TokenIds) else TokenIds([*outputs, token])
        return Context(prompt_ids=row.context.prompt_ids, output_ids=grown), states, row.randomness

    def _without_padding(self, ids: Sequence[int] | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        array = np.asarray(ids)
        if self._pad_id is None:
            return array
        real = np.flatnonzero(array != self._pad_id)
        return array[real[0] :] if len(real) else array[:0]


def as_logits_processor(
    chain: Chain, *, seed: int | None = None, stream: int = 0, draw: bool = False, pad_id: int | None = None
) -> Any:
    """A decodekit chain for the ``logits_processor`` of transformers' ``generate``.

    Args:
        chain: the chain.
        seed: of the chain's random numbers; None draws a new one.
        stream: of the first row; row i of a batch has ``stream + i``.
        draw: the chain's sampler chooses, and only its token keeps probability: with the same seed, `generate` gives
            the tokens of a session. Otherwise the final scores are passed on and `generate` chooses; give it
            ``do_sample=True`` and no other processors.
        pad_id: the padding in front of shorter prompts of a batch; processors do not see it.

    A call whose ids do not continue those of the call before begins a new generation.

    Raises:
        ConfigError: the chain has a part that may run only once for a step, and ``draw`` is False.
    """
    if not draw and not chain.pure:
        raise ConfigError(
            "this chain has a part that may run only once in a step, and generate's choice comes too late for it; "
            "use draw=True, or declare the part pure"
        )
    return _ChainProcessor(chain, seed, stream, draw, pad_id)
