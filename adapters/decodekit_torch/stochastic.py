"""Models whose distribution is itself random, such as one with dropout on: seeded, and averaged on request.

The noise of a prefix is a function of the seed, the prefix and the pass alone (docs/RNG.md, domain 4), so the same
prefix has the same noise in every batch, order and process. To keep that true each prefix is evaluated by itself, from
its first token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from decodekit.distribution import Distribution
from decodekit.draw.randomness import MODELS, Randomness
from decodekit.model.prefix import Prefix
from decodekit_torch.uncached import Emit, Shape, Uncached

__all__ = ["Mixture", "Stochastic", "generators_kept", "is_stochastic"]


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """The average of a random distribution over several passes.

    Args:
        distribution: the mean of the probabilities, as logprobs.
        standard_error: float64[V], of each mean probability: the sample deviation over the root of the passes.
        passes: how many.
        each: float64[passes, V], the probabilities of every pass.
    """

    distribution: Distribution
    standard_error: NDArray[np.float64]
    passes: int
    each: NDArray[np.float64]


class Stochastic:
    """A stochastic model under a seed.

    Args:
        function: as for `Uncached`; its noise comes from torch's global generators.
        seed: of the noise.
        passes: how many passes are averaged for an answer; 1 for the logits of a single one.
    """

    def __init__(self, function: Callable[..., Any], *, seed: int, passes: int) -> None:
        self._uncached = Uncached(function, tokens_per_forward=1)
        self._seed = seed
        self._passes = passes

    def clear(self) -> None:
        """Nothing is cached."""

    def extend(self, prefixes: Sequence[Prefix], emit: Emit) -> bool:
        """Always False: there is no fast path."""
        return False

    def evaluate(self, prefixes: Sequence[Prefix], emit: Emit) -> None:
        """The logits of one pass, or the log of the mean probability of several, for each prefix."""
        for prefix in prefixes:
            if self._passes == 1:
                answer = self._once(prefix, 0)
            else:
                total: torch.Tensor | None = None
                for number in range(self._passes):
                    probabilities = torch.softmax(self._once(prefix, number).double(), -1)
                    total = probabilities if total is None else total + probabilities
                assert total is not None
                answer = torch.log(total / self._passes)
            emit(prefix.digest, answer, Shape(1, len(prefix), False))

    def mixture(self, prefix: Prefix, passes: int) -> Mixture:
        """The average over ``passes`` passes, from 2 on, with its standard error."""
        each = torch.stack([torch.softmax(self._once(prefix, number).double(), -1) for number in range(passes)])
        error = (each.std(0) / passes**0.5).cpu().numpy()
        error.flags.writeable = False
        mean = torch.log(each.mean(0)).cpu().numpy()
        rows = each.cpu().numpy()
        rows.flags.writeable = False
        return Mixture(Distribution.dense(mean, origin="logprobs"), error, passes, rows)

    def _once(self, prefix: Prefix, number: int) -> torch.Tensor:
        step = int.from_bytes(prefix.digest[:8], "little")
        word = int(Randomness(self._seed, number).words([0], step=step, domain=MODELS)[0])
        found: list[torch.Tensor] = []
        with generators_kept():
            torch.manual_seed(word - 2**64 if word >= 2**63 else word)
            self._uncached.evaluate([prefix], lambda _digest, logits, _shape: found.append(logits))
        return found[0]


def generators_kept() -> AbstractContextManager[None]:
    """Inside this context torch's global generators may be seeded and used; afterwards they are as before."""
    return torch.random.fork_rng(range(torch.cuda.device_count()))


def is_stochastic(uncached: Uncached, vocab_size: int) -> bool:
    """Whether a model gives different answers to the same question."""
    prefix = Prefix((7 * i) % vocab_size for i in range(8))
    seen: list[torch.Tensor] = []
    with generators_kept():
        for seed in range(4):
            torch.manual_seed(seed)
            uncached.evaluate([prefix], lambda _digest, logits, _shape: seen.append(logits.clone()))
    rows = torch.stack(seen)
    return bool(torch.isfinite(rows).all()) and not bool((rows == rows[0]).all())
