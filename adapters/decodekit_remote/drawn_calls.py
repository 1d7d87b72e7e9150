"""The calls of tools in one answer that the server draws, put together from their pieces."""

from __future__ import annotations

from collections.abc import Sequence

from decodekit.errors import ProviderError
from decodekit.model.drawn import Ending
from decodekit.text.tool_call import ToolCall
from decodekit.text.tools import Tools
from decodekit_remote.dialect import CallPart

__all__ = ["DrawnCalls"]

_MOST = 1000
_OWN_ENDS = ("stop", "tool_calls")  # those that the model chose


class DrawnCalls:
    """Takes pieces as they come.

    Servers differ: some repeat the id and the name in each piece, some give all calls one place and only new ids, and
    none says reliably that a call is whole. So the call that was written last is whole only at an end that the model
    chose, and the others are.

    Args:
        tools: that were given; None for none.
        server: its name in errors.
    """

    def __init__(self, tools: Tools | None, server: str) -> None:
        self._tools, self._server = tools, server
        self._calls: list[_Call] = []
        self._last: _Call | None = None

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, parts: Sequence[CallPart]) -> None:
        """The calls go on.

        Raises:
            ProviderError: no tool was given, none may be called, or there are too many calls.
        """
        for part in parts:
            self._require_wanted(part.name)
            call = next((each for each in reversed(self._calls) if each.place == part.place), None)
            if call is None or (part.id and call.id and part.id != call.id):
                call = _Call(part.place)
                self._calls.append(call)
                if len(self._calls) > _MOST:
                    raise ProviderError(f"{self._server}: the answer calls tools more than {_MOST} times")
            call.take(part)
            self._last = call

    def so_far(self) -> tuple[ToolCall, ...]:
        """Those of an answer that has not ended, or was cut."""
        return self._as_calls(ended=False)

    def at(self, end: Ending) -> tuple[Ending, tuple[ToolCall, ...]]:
        """How the answer ended, and its calls.

        Raises:
            ProviderError: a tool had to be called, or the server says that one was, and there is no such call.
        """
        own = end in _OWN_ENDS
        if own and not self._calls and self._tools is not None and self._tools.must_call:
            raise ProviderError(
                f"{self._server}: tool_choice is {self._tools.chosen()!r}, and the answer calls no tool: the server "
                "ignores it, or tools altogether. Start it with its options for tools, or leave tool_choice= out"
            )
        if end == "tool_calls" and not self._calls:
            raise ProviderError(f"{self._server}: the server ended its answer for a call of a tool, and sent none")
        other = next((call.name for call in self._calls if own and self._forced not in (None, call.name)), None)
        if other is not None:
            raise ProviderError(
                f"{self._server}: tool_choice names {self._forced!r}, and the answer calls {other!r}: the server "
                "ignores it; give this tool alone with tool_choice='required', or leave tool_choice= out"
            )
        return "tool_calls" if own and self._calls else end, self._as_calls(ended=own)

    @property
    def _forced(self) -> str | None:
        """The tool that had to be called."""
        choice = None if self._tools is None else self._tools.choice
        return choice[0] if isinstance(choice, tuple) else None

    def _require_wanted(self, name: str) -> None:
        called = f" ({name[:40]!r})" if name else ""
        if self._tools is None:
            raise ProviderError(
                f"{self._server}: the model calls a tool{called}, and none was given here; give its definition with "
                "tools=, or ask a model or a server without tools of its own"
            )
        if self._tools.choice == "none":
            raise ProviderError(
                f"{self._server}: tool_choice is 'none', and the model calls a tool{called}: the server ignores "
                "tool_choice; leave tools= out"
            )

    def _as_calls(self, *, ended: bool) -> tuple[ToolCall, ...]:
        names = [] if self._tools is None else self._tools.names
        return tuple(call.made(names, complete=ended or call is not self._last) for call in list(self._calls))


class _Call:
    def __init__(self, place: int) -> None:
        self.place, self.id, self.name, self._instead = place, "", "", ""
        self._arguments: list[str] = []

    def take(self, part: CallPart) -> None:
        self.id = self.id or part.id
        if part.name != self.name:
            self.name += part.name
        self._arguments.append(part.arguments)
        self._instead = part.instead or self._instead

    def made(self, names: Sequence[str], *, complete: bool) -> ToolCall:
        arguments = "".join(self._arguments) or self._instead
        return ToolCall.checked(self.id, self.name, arguments, complete=complete, names=names)
