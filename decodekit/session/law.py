"""Whether the law of a chain is one distribution for each prefix: then it can be computed, and drawn from again."""

from __future__ import annotations

from decodekit.chain import Chain
from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.errors import ParameterError

__all__ = ["law_of", "require_pure"]


def require_pure(chain: Chain) -> None:
    """Raise `ParameterError` where a part of the chain must run only once per step."""
    if not chain.pure:
        raise ParameterError("chain: a part of it must run only once per step, so its law cannot be computed")


def law_of(reshaped: Reshaped) -> Distribution:
    """What the sampler draws from. Raises `ParameterError` where a processor has drawn random numbers."""
    tossing = next((part.link.name for part in reshaped.applied if part.tosses), None)
    if tossing is not None:
        raise ParameterError(f"chain: {tossing!r} draws random numbers, so its law is not one distribution")
    return reshaped.final
