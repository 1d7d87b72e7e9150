"""The marks around thinking and calls, as bytes in which a control token is never taken for its letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from decodekit.text.tokenizer import Tokenizer

__all__ = ["CONTROL", "Marks", "control_of", "written"]

CONTROL = b"\xff"
"""Stands before the markup of a control token; no text has this byte."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What parts a text, as bytes; b"" for a mark that a constraint does not have.

    Args:
        opened_by: begins a block of thinking.
        after: ends it.
        trigger: begins a call.
        end: ends it.
    """

    opened_by: bytes = b""
    after: bytes = b""
    trigger: bytes = b""
    end: bytes = b""

    @classmethod
    def of(cls, control: Mapping[str, int], **texts: str) -> Marks:
        """The marks of a model with these control tokens."""
        return cls(**{name: (CONTROL if text in control else b"") + text.encode() for name, text in texts.items()})

    @property
    def all(self) -> frozenset[bytes]:
        """Those that there are."""
        return frozenset((self.opened_by, self.after, self.trigger, self.end)) - {b""}


def control_of(tokenizer: Tokenizer | None) -> Mapping[str, int]:
    """The ids of a tokenizer's control tokens, by their markup."""
    found: Mapping[str, int] = getattr(tokenizer, "control_tokens", {})
    return found


def written(token_ids: Iterable[int], tokenizer: Tokenizer, marks: Marks) -> bytes:
    """The bytes of these tokens; of control tokens, the marks alone."""
    markup = {token_id: CONTROL + name.encode() for name, token_id in control_of(tokenizer).items()}
    kept = {token_id: data for token_id, data in markup.items() if data in marks.all}
    return b"".join(kept.get(token_id) or tokenizer.token_bytes(token_id) or b"" for token_id in token_ids)
