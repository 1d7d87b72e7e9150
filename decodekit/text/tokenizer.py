"""The protocol of a tokenizer: text to token ids and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field

__all__ = ["Message", "TokenId", "Tokenizer"]

Message = Mapping[str, Any]
"""One turn of a conversation: ``role``, ``content``, and what else the model's template reads."""
TokenId = Annotated[int, Field(ge=0, lt=2**63)]
"""A token's id as a parameter or in a record."""


class Tokenizer(Protocol):
    """Text to token ids and back. Tokens are bytes: one may hold half a character.

    ``bos_id`` is the token a raw text prompt starts with; None when the model was trained without one.
    ``eos_ids`` end a generation.

    Optional attributes, all read with a default (`decodekit.text.base.BaseTokenizer` has them):

    * ``space_in_front`` ('never', 'unless there' or 'always'): the space with which the model's own tokenizer begins a
      text, as sentencepiece does; prompts and conversations have it, `encode` does not; 'never';
    * ``encode_prompt(text, special=False)``: the ids of a text with all spaces that the model's own tokenizer adds,
      where it adds others than the one in front;
    * ``encode_as_server(text)``: the ids that a server with this tokenizer makes of a text, BOS included; and
      ``whole_tokens``, the ids of the added tokens that have a text;
    * ``loses`` (str): what `encode` does not keep of a text; '': ``decode(encode(text))`` is the text's UTF-8;
    * ``whole_texts`` (bool): one id stands for a whole text, so that tokens cannot be counted; False;
    * ``listed`` (bool): the bytes of all tokens are available; False where a server gives them one by one; True.
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
        """The ids of a text. Markup such as ``<|im_start|>`` is plain text unless ``special`` is true.

        Adds nothing: no BOS and no space, not even next to a control token.

        Raises:
            ParameterError: the vocabulary cannot encode the text, or it is not valid Unicode.
        """
        ...

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation in the model's own chat template, ready for the assistant's answer.

        Markup of control tokens in a message is plain text. If the last message is the assistant's, the model continues
        its text.

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
