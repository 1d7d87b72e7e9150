"""The words of docs/RNG.md computed by torch, on whatever device: bit-equal to `decodekit.randomness`.

Philox4x64-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). torch has no unsigned
64-bit product, so a word travels as int64 with the same bits and products are put together from 32-bit halves.
"""

from __future__ import annotations

import torch

from decodekit.randomness import BoundRandomness

__all__ = ["contenders", "gumbel", "words"]

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = 0xFFFFFFFF


def words(noise: BoundRandomness, lanes: torch.Tensor) -> torch.Tensor:
    """int64[n] with the bits of the uint64 words of these lanes.

    Args:
        noise: the step's noise.
        lanes: int64[n], token ids or lane numbers.
    """
    # NumPy steps the counter before its first block, so lane i is in block i // 4 + 1.
    counter = [lanes // 4 + 1, *(torch.full_like(lanes, _signed(n)) for n in (noise.step, noise.stream, noise.draw))]
    keys = [noise.seed, noise.domain]
    for _ in range(_ROUNDS):
        high0, low0 = _product(counter[0], _MULTIPLIERS[0])
        high1, low1 = _product(counter[2], _MULTIPLIERS[1])
        counter = [
            high1 ^ counter[1] ^ _signed(keys[0]),
            low1,
            high0 ^ counter[3] ^ _signed(keys[1]),
            low0,
        ]
        keys = [(key + weyl) % 2**64 for key, weyl in zip(keys, _WEYL, strict=True)]
    return torch.stack(counter).gather(0, (lanes % 4)[None])[0]


def gumbel(noise: BoundRandomness, lanes: torch.Tensor) -> torch.Tensor:
    """float64[n] standard Gumbel noise. Equal to NumPy's to the last place or so: logarithms differ there."""
    uniform = (_shifted(words(noise, lanes), 12).double() + 0.5) * 2.0**-52
    return -torch.log(-torch.log(uniform))


def contenders(scores: torch.Tensor, noise: BoundRandomness, *, slack: float) -> torch.Tensor:
    """int64[n], rising: the ids that win the race of `multinomial`, or would if every score moved by ``slack`` at most.

    Args:
        scores: float[V] in nats, on any device, in any offset.
        noise: the step's noise, in the domain of tokens.
        slack: in nats; what the scores that decide may differ by from these.
    """
    perturbed = scores.double() + gumbel(noise, torch.arange(len(scores), device=scores.device))
    close: torch.Tensor = perturbed >= perturbed.max() - 2 * slack
    return close.nonzero()[:, 0]


def _product(a: torch.Tensor, b: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The high and the low 64 bits of a product of unsigned 64-bit numbers."""
    a_low, a_high = a & _LOW, _shifted(a, 32)
    b_low, b_high = b & _LOW, b >> 32
    low, middle, cross = a_low * b_low, a_high * b_low, a_low * b_high
    carried = _shifted(low, 32) + (middle & _LOW) + (cross & _LOW)
    high = a_high * b_high + _shifted(middle, 32) + _shifted(cross, 32) + _shifted(carried, 32)
    return high, a * _signed(b)


def _shifted(word: torch.Tensor, bits: int) -> torch.Tensor:
    """A shift to the right that brings zeros in."""
    shifted: torch.Tensor = (word >> bits) & (2 ** (64 - bits) - 1)
    return shifted


def _signed(number: int) -> int:
    """The int64 with the bits of a uint64."""
    return number - 2**64 if number >= 2**63 else number
