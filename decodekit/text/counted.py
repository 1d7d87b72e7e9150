"""A number of things in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """``1 token``, ``0 tokens``, ``1,024 tokens``: a noun whose plural ends in "s", with its number."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
