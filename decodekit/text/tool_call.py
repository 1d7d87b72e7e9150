"""A call of a tool, as a model wrote it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from decodekit.errors import ParameterError, brief
from decodekit.text.safe_text import safe_text

__all__ = ["ToolCall"]

_SHORT = 200
_LONGEST = 2000  # characters of a line


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. Nothing is run: the application does that, and answers with `answer`.

    Args:
        id: of the call, from the provider; one such as 'call_0' where it gives none, or one twice.
        name: of the tool, as the model wrote it.
        arguments: the text of the arguments as it came. It need not be JSON.
        complete: whether the model has written it to its end: False for a call that ``max_tokens``, a deadline or a
            broken connection has cut, or that may be, and where the arguments end in the middle of an object.
        fault: why it cannot be run as it is: it was cut, its arguments are no JSON object, or no tool of this name was
            given. '' for a call without one. The text may go back to the model as the answer.
    """

    id: str
    name: str
    arguments: str
    complete: bool = True
    fault: str = ""

    @classmethod
    def checked(cls, id: str, name: str, arguments: str, *, complete: bool, names: Sequence[str]) -> ToolCall:  # noqa: A002 - as the field
        """A call that came, with its fault.

        Args:
            id, name, arguments, complete: as for the class.
            names: of the tools that were given.
        """
        fault = ""
        try:
            _object(arguments)
        except ValueError as error:
            fault = f"the arguments are no JSON object: {error}"
            complete = complete and not _ends_early(error)  # servers call an answer complete that max_tokens has cut
        if not complete:
            fault = "the call was cut before its end"
        elif name not in names:
            fault = f"there is no tool {name!r}; there is {', '.join(map(repr, names))}"
        return cls(id, name, arguments, complete, fault)

    @property
    def parsed(self) -> dict[str, Any] | None:
        """The arguments as a dict; None where they are no JSON object, or the call was cut.

        An empty text is an empty dict: some servers write a call without arguments so.
        """
        try:
            return _object(self.arguments) if self.complete else None
        except ValueError:
            return None

    def answer(self, content: str) -> dict[str, Any]:
        """The message that answers this call, for the conversation.

        Args:
            content: what the tool gave, as text.

        Raises:
            ParameterError: it is no text.
        """
        if not isinstance(content, str):
            raise ParameterError(f"the answer to a call is a text, such as json.dumps(...), not {brief(content)}")
        return {"role": "tool", "tool_call_id": self.id, "content": content}

    def as_message_part(self) -> dict[str, Any]:
        """The call in OpenAI's format, as it stands in a message of the assistant."""
        function = {"name": self.name, "arguments": self.arguments if self.arguments.strip() else "{}"}
        return {"id": self.id, "type": "function", "function": function}

    def shortened(self) -> ToolCall:
        """The call for a record that has no room for long arguments: their beginning, which is no JSON."""
        if len(self.arguments) <= _SHORT:
            return self
        fault = f"the record has {_SHORT} of the {len(self.arguments)} characters of the arguments"
        return replace(self, arguments=self.arguments[:_SHORT] + "…", fault=fault)

    @property
    def line(self) -> str:
        """The call as one line that is safe to show: everything in it is the model's text."""
        fault = f"  [{self.fault}]" if self.fault else ""
        cut = "" if len(self.arguments) <= _LONGEST else f"… ({len(self.arguments)} characters)"
        return safe_text(f"{self.name[:_SHORT]}({self.arguments[:_LONGEST]}{cut}){fault}")

    def to_dict(self) -> dict[str, Any]:
        """The call as plain JSON types."""
        return {
            "id": self.id,
            "name": self.name,
            "arguments": self.arguments,
            "parsed": self.parsed,
            "complete": self.complete,
            "fault": self.fault,
        }


def _object(arguments: str) -> dict[str, Any]:
    """The JSON object of a text. Raises `ValueError`."""
    if not arguments.strip():
        return {}
    try:
        value = json.loads(arguments, parse_constant=_no_number)
        written = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise ValueError("it is too deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"it is {brief(value)}")
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("it has a number that is too large for a float") from None
    try:
        written.encode()
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair, which is no character") from None
    return value


def _ends_early(error: ValueError) -> bool:
    """Whether a text is no JSON because more of it is missing."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
