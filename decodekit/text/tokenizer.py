"""The law of a tokenizer: text to token ids and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = [
    "Message",
    "Tokenizer",
]

Message = Mapping[str, Any]
"""One turn of a conversation: ``role``, ``content``, and what else the model's template reads."""


class Tokenizer(Protocol):
    """Text to token ids and back. Tokens are bytes: one may hold half a character.

    ``bos_id`` is the token a raw text prompt starts with; None when the model was trained without one.
    ``eos_ids`` end a generation.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def eos_ids(self) -> frozenset[int]: ...
    @property
    def bos_id(self) -> int | None: ...
    @property
    def fingerprint(self) -> str: ...

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Markup such as ``<|im_start|>`` is plain text unless ``special`` is true. Adds no BOS."""
        ...

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation in the model's own chat template, ready for the assistant's answer.

        Markup of control tokens in a message is plain text. Where the last message is the assistant's, its text is
        begun and the model goes on with it.

        Raises:
            ParameterError: the messages are not of the right shape.
            ConfigError: the model has no template, or the template refuses the messages.
        """
        ...

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        ...

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of one token; None for a control token, which has no text."""
        ...
