"""How many tokens of prompts one round evaluates: so many that those who wait for their next token do not wait long."""

from __future__ import annotations

__all__ = ["LONG", "QUICK", "TokenBudget"]

QUICK, LONG = 0.1, 0.25  # seconds; a round that takes less or more lets the next one be twice or half as large
_LEAST, _FIRST, _MOST = 64, 512, 65_536  # tokens


class TokenBudget:
    """A bound on the new tokens of a round, which follows the time that rounds take.

    It bounds what the callers of a round bring together. Whose turn it is goes with any number: it evaluates a long
    prompt in portions (`decodekit.session.portions`).
    """

    def __init__(self) -> None:
        self.tokens = _FIRST

    def took(self, tokens: int, seconds: float, *, left_out: bool) -> None:
        """Learn from a round.

        Args:
            tokens: of the prompts in it.
            seconds: that it took.
            left_out: whether a prompt waits because it had no room.
        """
        if seconds < QUICK and left_out:
            self.tokens = min(_MOST, self.tokens * 2)
        elif seconds > LONG and tokens > _LEAST:
            self.tokens = max(_LEAST, min(self.tokens, tokens) // 2)
