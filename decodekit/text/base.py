"""What all tokenizers share: the bytes of tokens, text prompts, conversations, and warnings where bytes are lost.

One rule holds for every family: ``decode(encode(text))`` is the text's UTF-8, byte for byte, or `BaseTokenizer.loses`
says what is lost. The space that some vocabularies put in front of a text (sentencepiece's ``add_dummy_prefix``) is
added to prompts and conversations, never by `encode`: a phrase in the middle of a text has no such space. Some
vocabularies add one behind each added token too, and none in front of a text that begins with such a token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from decodekit.errors import ConfigError, ParameterError
from decodekit.log import get_logger
from decodekit.text.chat import encode_chat, render
from decodekit.text.messages import require_text
from decodekit.text.tokenizer import Message
from decodekit.text.unwritten import missing_letters, parts_between, unwritable_error
from decodekit.text.utf8 import utf8

__all__ = ["BaseTokenizer", "SpaceInFront", "own_ids", "prompt_ids", "server_ids"]

SpaceInFront = Literal["never", "unless there", "always"]


class BaseTokenizer:
    """The base of tokenizers: everything but the vocabulary.

    A subclass has `encode`, ``fingerprint`` and `known_token_bytes`, and also `encode_part` if the model's own
    tokenizer changes texts.

    Args:
        vocab_size: the number of tokens.
        eos_ids: tokens that end a generation; ids outside the vocabulary are left out.
        bos_id: the token that a text prompt starts with; None for none.
        chat_template: the model's own, in Jinja.
        space_in_front: whether the model's own tokenizer begins a text with a space.
        loses: what `encode` does not keep of a text; '' where it keeps every byte.

    Attributes:
        vocab_size: as given.
        eos_ids: those of the ids given that exist.
        bos_id: as given.
        listed: whether the bytes of all tokens are available; False where a server gives them one by one.
        chat_template: as given.
        space_in_front: as given.
        loses: as given.
    """

    listed = True

    def __init__(
        self,
        vocab_size: int,
        *,
        eos_ids: Iterable[int] = (),
        bos_id: int | None = None,
        chat_template: str | None = None,
        space_in_front: SpaceInFront = "never",
        loses: str = "",
    ) -> None:
        self.vocab_size = vocab_size
        self.eos_ids = frozenset(i for i in eos_ids if 0 <= i < vocab_size)
        self.bos_id = bos_id
        self.chat_template = chat_template
        self.space_in_front: SpaceInFront = space_in_front
        self.loses = loses

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Adds no BOS and no space; with ``special`` markup is read as control tokens."""
        raise NotImplementedError

    def encode_prompt(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text with the spaces that the model's own tokenizer adds to one; without BOS.

        With ``special`` markup is read as control tokens. A tokenizer that adds spaces behind some tokens has this
        method of its own.
        """
        return _with_space(self, text, special)

    def encode_as_server(self, text: str) -> list[int]:
        """The ids that the model's own tokenizer gives for a text, as a server that takes texts has them.

        With BOS, and with all that the tokenizer adds and normalises; markup is read as control tokens.

        Raises:
            ParameterError: as for `encode_messages`.
        """
        utf8(text, "the text")
        ids = self.encode_part(text, True)
        return ids if self.bos_id is None else [self.bos_id, *ids]

    @property
    def control_tokens(self) -> Mapping[str, int]:
        """The ids of the tokens that are not text, by their markup."""
        return {}

    @property
    def whole_tokens(self) -> frozenset[int]:
        """The tokens with a text that are found in texts as a whole, before the rest is split into tokens."""
        return frozenset()

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation in the model's own chat template, ready for the assistant's answer.

        They are those of the model's own tokenizer, with all that it adds and normalises, except that the markup of a
        control token in a message is plain text. Where it writes 'unknown' for letters, a warning names them. If the
        last message is the assistant's, the model continues it.

        Raises:
            ParameterError: the messages are not of the right shape, or hold letters that the model's own tokenizer
                drops.
            ConfigError: the model has no template, or the template refuses the messages.
        """
        if self.chat_template is None:
            raise ConfigError("this model has no chat template; give it a text prompt instead")
        require_text(messages)
        bos, eos = self.template_tokens()
        chat = render(self.chat_template, messages, bos_token=bos, eos_token=eos)
        utf8(chat.text, "the conversation")
        ids = encode_chat(chat, self.control_tokens, self.encode_part, unknown=self.unknown_ids)
        if self.bos_id is not None and ids[:1] != [self.bos_id]:
            return [self.bos_id, *ids]  # a template that writes BOS itself has it already
        return ids

    @property
    def unknown_ids(self) -> Collection[int]:
        """The tokens that stand for letters without a token."""
        return ()

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        return b"".join(self.token_bytes(token_id) or b"" for token_id in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of one token; None for a control token, or an id that the tokenizer does not use.

        Raises:
            ParameterError: there is no such token.
        """
        if not 0 <= token_id < self.vocab_size:
            raise ParameterError(f"token id {token_id} lies outside the vocabulary of {self.vocab_size} tokens")
        return self.known_token_bytes(token_id)

    def known_token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of a token that exists."""
        raise NotImplementedError

    def encode_part(self, text: str, special: bool) -> list[int]:
        """The ids of a conversation's text, or a part of it, as the model's own tokenizer has them, without BOS.

        Without ``special`` it is a part between two control tokens whose own markup is plain text.
        """
        return self.encode_prompt(text, special=special)

    def unwritable_error(self, text: str, *, special: bool = False) -> ParameterError:
        """The error for a text that cannot be written, which names the letters."""
        return unwritable_error(text, self.missing_in(text, special=special))

    def missing_in(self, text: str, *, special: bool = False) -> list[str]:
        """The letters of a text that have no token; with ``special``, those of control tokens' markup are not asked."""
        return missing_letters(self.unmatched_parts(text, special), lambda part: part == text or self.refuses(part))

    def unmatched_parts(self, text: str, special: bool) -> list[str]:
        """A text without the tokens that are found in it as wholes."""
        whole = [(self.token_bytes(i) or b"").decode("utf-8", "replace") for i in self.whole_tokens]
        return parts_between(text, [*whole, *(self.control_tokens if special else ())])

    def refuses(self, text: str) -> bool:
        try:
            self.encode(text)
        except ParameterError:
            return True
        return False

    def require_known(self, text: str, unknown: bool, *, special: bool = False) -> None:
        """Raises `ParameterError` where the 'unknown' token stands for a part of the text."""
        if unknown:
            raise self.unwritable_error(text, special=special)

    def require_spelled(self, text: str, spelled: bytes, *, special: bool = False) -> None:
        """Raises `ParameterError` where these bytes of its tokens are not the text's, unless `loses` says so."""
        if spelled != text.encode() and not self.loses:
            raise self.unwritable_error(text, special=special)

    def template_tokens(self) -> tuple[str, str]:
        """``bos_token`` and ``eos_token`` as a chat template has them."""
        return "", ""

    def warn_of_limits(self) -> None:
        """Warn once about what a user would otherwise notice late."""
        if not self.eos_ids:
            get_logger().warning("no file of this model names an end-of-text token; give stop, stop_ids or max_tokens")
        if self.loses:
            get_logger().warning("this tokenizer does not keep texts as they are", loses=self.loses)


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text prompt: BOS, and the text with the spaces that the model's own tokenizer adds to one.

    Args:
        tokenizer: any `Tokenizer`; one without ``encode_prompt`` and ``space_in_front`` adds none.
        text: the prompt.

    Raises:
        ParameterError: the text is not valid Unicode, or the vocabulary cannot encode it.
    """
    ids = own_ids(tokenizer, text, special=False)
    return ids if tokenizer.bos_id is None else [tokenizer.bos_id, *ids]


def server_ids(tokenizer: Any, text: str) -> list[int]:
    """The ids that a server which has this tokenizer and takes texts makes of a text.

    Args:
        tokenizer: any `Tokenizer`; of one without ``encode_as_server``, the ids of the text with its markup read as
            control tokens, behind BOS.
        text: the text.

    Raises:
        ParameterError: the text is not valid Unicode, or the vocabulary cannot encode it.
    """
    as_server = getattr(tokenizer, "encode_as_server", None)
    if as_server is not None:
        made: list[int] = as_server(text)
        return made
    ids = own_ids(tokenizer, text)
    return ids if tokenizer.bos_id is None else [tokenizer.bos_id, *ids]


def own_ids(tokenizer: Any, text: str, *, special: bool = True) -> list[int]:
    """The ids of a text with the spaces that the model's own tokenizer adds to one, and without BOS.

    Args:
        tokenizer: any `Tokenizer`; one without ``encode_prompt`` and ``space_in_front`` adds none.
        text: the text.
        special: whether markup is read as control tokens.

    Raises:
        ParameterError: the text is not valid Unicode, or the vocabulary cannot encode it.
    """
    utf8(text, "the text")
    own = getattr(tokenizer, "encode_prompt", None)
    ids: list[int] = _with_space(tokenizer, text, special) if own is None else own(text, special=special)
    return ids


def _with_space(tokenizer: Any, text: str, special: bool) -> list[int]:
    rule: SpaceInFront = getattr(tokenizer, "space_in_front", "never")
    there = not text or rule == "never" or (rule == "unless there" and text.startswith(" "))
    ids: list[int] = tokenizer.encode(text if there else f" {text}", special=special)
    return ids
