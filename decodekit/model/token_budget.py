"""How much is asked for at once: so many tokens of prompts that others do not wait long, and rows that fit memory."""

from __future__ import annotations

__all__ = ["LONG", "QUICK", "TokenBudget", "rows_at_once"]

QUICK, LONG = 0.1, 0.25  # seconds; a round that takes less or more lets the next one be twice or half as large
_LEAST, _FIRST, _MOST = 64, 512, 65_536  # tokens
_BYTES, _MOST_ROWS = 2**25, 256  # of the rows of one question


def rows_at_once(vocab_size: int | None) -> int:
    """How many distributions of a known text are asked for in one question: 256, or as many as take 32 MiB."""
    return max(8, min(_MOST_ROWS, _BYTES // (4 * (vocab_size or 131_072))))


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
