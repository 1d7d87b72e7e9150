"""The only source of random numbers: `decodekit-rng-1`, specified in docs/RNG.md.

The word of token (or lane) ``i`` is the ``i``-th 64-bit output of
``numpy.random.Philox(key=[seed, domain], counter=[0, step, stream, draw])``. Any word can be computed alone, in any
order, on any machine, and equal keys always give equal words.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import index
from typing import Any

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from decodekit.draw.philox import WORDS_PER_BLOCK, blocks
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.types import Floats, Ids

__all__ = [
    "ALGORITHM",
    "ESTIMATORS",
    "MODELS",
    "PROCESSORS",
    "SINGLE",
    "TOKENS",
    "BoundRandomness",
    "Randomness",
    "derive",
    "gumbel_of",
    "uniform_of",
    "words_above",
    "words_of_rows",
]

ALGORITHM = "decodekit-rng-1"

TOKENS, SINGLE, PROCESSORS, ESTIMATORS, MODELS = range(5)
"""The domains: token choice, one uniform per step, processors, estimators in analysis, stochastic models."""

Lanes = range | Sequence[int] | NDArray[np.integer]

_WORDS_PER_JUMP = 300  # jumping to a block costs about as much as this many words in a row
_MANY_LANES = 128  # from here on, the blocks of all lanes together cost less than a jump to each


@dataclass(frozen=True, slots=True)
class Randomness:
    """The random numbers of one sequence: a pure function of seed, stream, domain, step, draw and lane.

    Args:
        seed: 0 to 2**64 - 1; None draws 64 bits from the operating system, which `seed` then holds.
        stream: 0 to 2**64 - 1; sequences of one run use different streams.

    Raises:
        ParameterError: a number outside 64 bits, or not an integer.
    """

    seed: int
    stream: int

    def __init__(self, seed: int | None = None, stream: int = 0) -> None:
        object.__setattr__(
            self, "seed", int.from_bytes(os.urandom(8), "little") if seed is None else _u64(seed, "seed")
        )
        object.__setattr__(self, "stream", _u64(stream, "stream"))

    def words(self, lanes: Lanes, *, step: int, domain: int = TOKENS, draw: int = 0) -> NDArray[np.uint64]:
        """The words of these lanes, as uint64[n].

        Args:
            lanes: token ids, or lane numbers; ``range(V)`` for a whole vocabulary.
            step: the number of tokens already generated.
            domain: see the constants of this module.
            draw: the attempt, or the processor's own key.
        """
        if isinstance(lanes, range) and lanes.step == 1 and lanes.start == 0:
            return self._first_words(len(lanes), domain, step, draw)
        wanted = lanes.tolist() if isinstance(lanes, np.ndarray) else list(map(index, lanes))
        if not wanted:
            return np.empty(0, dtype=np.uint64)
        if min(wanted) < 0:
            raise ParameterError(f"a lane is a token id or another number from 0 on, not {min(wanted)}")
        length = max(wanted) + 1
        if length < _WORDS_PER_JUMP * (-(-len(wanted) // WORDS_PER_BLOCK)):  # at least this many blocks are needed
            return self._first_words(length, domain, step, draw)[wanted]
        philox, state = _here.philox, _state(self, domain, step, draw)
        counter, found = state["state"], []
        for lane in wanted:
            counter["counter"] = (lane // WORDS_PER_BLOCK, step, self.stream, draw)
            philox.state = state
            found.append(philox.random_raw(WORDS_PER_BLOCK)[lane % WORDS_PER_BLOCK])
        return np.array(found, dtype=np.uint64)

    def _first_words(self, count: int, domain: int, step: int, draw: int) -> NDArray[np.uint64]:
        philox = _here.philox
        philox.state = _state(self, domain, step, draw)
        return philox.random_raw(count)

    def uniform(self, lanes: Lanes, *, step: int, domain: int = TOKENS, draw: int = 0) -> Floats:
        """float64[n] strictly inside (0, 1), with 52 random bits each."""
        return uniform_of(self.words(lanes, step=step, domain=domain, draw=draw))

    def gumbel(self, lanes: Lanes, *, step: int, domain: int = TOKENS, draw: int = 0) -> Floats:
        """float64[n] standard Gumbel noise, about -3.6 to 36.8."""
        return gumbel_of(self.words(lanes, step=step, domain=domain, draw=draw))

    def at(self, step: int, domain: int = TOKENS, draw: int = 0) -> BoundRandomness:
        """The random numbers of one step, one domain and one draw, as a sampler or a processor receives them."""
        return BoundRandomness(self, step, domain, draw)


@dataclass(frozen=True, slots=True)
class BoundRandomness:
    """`Randomness` with step, domain and draw filled in.

    Args:
        source: the sequence's randomness.
        step: the number of tokens already generated.
        domain: the domain to draw from.
        draw: the attempt, or the processor's own key.
    """

    source: Randomness
    step: int
    domain: int = TOKENS
    draw: int = 0
    _made: list[NDArray[np.uint64]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def seed(self) -> int:
        return self.source.seed

    @property
    def stream(self) -> int:
        return self.source.stream

    def words(self, lanes: Lanes) -> NDArray[np.uint64]:
        """uint64[n], the words of these lanes."""
        return self.source.words(lanes, step=self.step, domain=self.domain, draw=self.draw)

    def all_words(self, count: int) -> NDArray[np.uint64]:
        """uint64[count], the words of the lanes from 0 on, read-only: made once for the draw and for its evidence."""
        if not self._made or len(self._made[0]) != count:
            words = self.words(range(count))
            words.flags.writeable = False
            self._made[:] = [words]
        return self._made[0]

    def uniform(self, lanes: Lanes) -> Floats:
        """float64[n] strictly inside (0, 1)."""
        return uniform_of(self.words(lanes))

    def gumbel(self, lanes: Lanes) -> Floats:
        """float64[n] standard Gumbel noise."""
        return gumbel_of(self.words(lanes))

    def within(self, domain: int, draw: int | None = None) -> BoundRandomness:
        """The same step in another domain."""
        if domain == self.domain and draw is None:
            return self
        return BoundRandomness(self.source, self.step, domain, self.draw if draw is None else draw)


def uniform_of(words: NDArray[np.uint64]) -> Floats:
    """``((w >> 12) + 0.5) * 2**-52``: exact in float64, never 0 and never 1."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def gumbel_of(words: NDArray[np.uint64]) -> Floats:
    """``-log(-log(u))`` in float64."""
    noise: Floats = -np.log(-np.log(uniform_of(words)))
    return noise


def words_above(words: NDArray[np.uint64], gumbel: float) -> NDArray[np.bool_]:
    """Which words could make a Gumbel number of at least this, with a small safety margin."""
    u = math.exp(-math.exp(-gumbel)) if gumbel > -6 else 0.0
    return words >= np.uint64(max(0.0, u - 1e-9) * 2.0**64)


def words_of_rows(rows: Sequence[BoundRandomness], counts: Sequence[int], lanes: Ids) -> NDArray[np.uint64]:
    """The words that `BoundRandomness.words` gives row by row, as uint64[n]: those of the first row, the second, ...

    Args:
        rows: the noise of each row.
        counts: how many of the lanes belong to each row.
        lanes: int64[n], each at least 0.
    """
    if len(lanes) < _MANY_LANES:
        ends = np.add.accumulate(counts).tolist()
        parts = [row.words(lanes[end - count : end]) for row, count, end in zip(rows, counts, ends, strict=True)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
    address = [(row.step, row.stream, row.draw, row.seed, row.domain) for row in rows]
    places = np.array(address, dtype=np.uint64).reshape(-1, 5).T.repeat(counts, axis=1)
    within = lanes % WORDS_PER_BLOCK
    places_of_blocks = (lanes // WORDS_PER_BLOCK + 1).astype(np.uint64)
    counters = np.concatenate([places_of_blocks[np.newaxis], places[:3]])
    return blocks(counters, places[3:])[within, np.arange(len(lanes))]


def derive(seed: int, *path: int | str) -> int:
    """A child seed from names and numbers, as the u64 of a BLAKE2b hash; see docs/RNG.md for the bytes."""
    hasher = blake2b(b"S" + _u64(seed, "seed").to_bytes(8, "little"), digest_size=8, person=ALGORITHM.encode())
    for item in path:
        if isinstance(item, str):
            text = item.encode()
            hasher.update(b"T" + len(text).to_bytes(4, "little") + text)
        else:
            hasher.update(b"I" + _u64(item, "path item").to_bytes(8, "little"))
    return int.from_bytes(hasher.digest(), "little")


class _Here(threading.local):
    """One generator per thread, repositioned each time: creating one gathers entropy, which takes ten times as long."""

    def __init__(self) -> None:
        self.philox = Philox()


_here = _Here()


def _state(source: Randomness, domain: int, step: int, draw: int) -> Any:
    """The state of NumPy's Philox before lane 0. It steps the counter first, so counter b yields block b + 1."""
    return {  # plain integers work, and are faster than the arrays that NumPy's type hints ask for
        "bit_generator": "Philox",
        "state": {"counter": (0, step, source.stream, draw), "key": (source.seed, domain)},
        "buffer": (0, 0, 0, 0),
        "buffer_pos": WORDS_PER_BLOCK,  # used up
        "has_uint32": 0,
        "uinteger": 0,
    }


def _u64(value: int, name: str) -> int:
    return whole(value, name, 0, 2**64 - 1)
