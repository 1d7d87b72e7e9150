"""What the dialects have in common whose answers only the server can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.errors import ParameterError
from decodekit_remote.dialect import Conversation, Request

__all__ = ["conversation_of", "only"]

_NOT_OF_THE_LAW = ("seed", "stop")  # a seed is not believed anyway, and a run looks for its stop texts itself


def conversation_of(question: Request, name: str) -> Conversation:
    """The conversation of a question; a text is one message of the user.

    Raises:
        ParameterError: token ids, or an answer that was begun.
    """
    (prompt,) = question.prompts
    conversation = Conversation(({"role": "user", "content": prompt},)) if isinstance(prompt, str) else prompt
    if not isinstance(conversation, Conversation):
        raise ParameterError(f"{name} takes a conversation, not token ids")
    if conversation.answer_start or conversation.begun:
        raise ParameterError(f"{name}: an answer that was begun cannot be continued; end with a message of the user")
    return conversation


def only(settings: Mapping[str, Any], known: Sequence[str], name: str) -> dict[str, Any]:
    """Those of the settings that the API has. Raises `ParameterError` for another that the law needs."""
    foreign = [key for key in settings if key not in (*known, *_NOT_OF_THE_LAW)]
    if foreign:
        raise ParameterError(
            f"sampler 'provider': {name} has no {foreign[0]!r}; it takes temperature and top_p. Change the chain"
        )
    return {key: value for key, value in settings.items() if key in known}
