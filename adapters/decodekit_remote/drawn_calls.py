"""The calls of tools in one answer that the server draws, put together from their pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from decodekit.errors import ProviderError
from decodekit.model.drawn import Ending
from decodekit.text.tool_call import ToolCall
from decodekit.text.tools import Tools
from decodekit_remote.body import joined, mended
from decodekit_remote.dialect import CallPart

__all__ = ["DrawnCalls"]

_MOST = 1000
_QUOTED = 60  # characters of a call in an error
_NOTHING = ("", "{}")  # arguments that have not come yet, too
_OWN_ENDS = ("stop", "tool_calls")  # those that the model chose


class DrawnCalls:
    """Takes pieces as they come.

    Servers differ: some repeat the id and the name in each piece, some give all calls one place and only new ids, and
    none says reliably that a call is whole. So the call that was written last is whole only at an end that the model
    chose, and the others are.

    Args:
        tools: that were given; None for none.
        server: its name in errors.
        clean: removes the key from what is logged and shown of a call; its arguments are the model's text.
    """

    def __init__(self, tools: Tools | None, server: str, clean: Callable[[str], str] = str) -> None:
        self._tools, self._server, self._clean = tools, server, clean
        self._calls: list[_Call] = []
        self._last: _Call | None = None
        self._ended = False

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, parts: Sequence[CallPart]) -> None:
        """The calls go on.

        Raises:
            ProviderError: no tool was given, none may be called, or there are too many calls.
        """
        for part in parts:
            call = self._call_of(part)
            if call is None:
                call = _Call(part.place)
                self._calls.append(call)
                if len(self._calls) > _MOST:
                    raise ProviderError(f"{self._server}: the answer calls tools more than {_MOST} times")
            call.take(part)
            self._require_wanted(part.name)
            self._last = call

    def so_far(self) -> tuple[ToolCall, ...]:
        """Those that came; the last of an answer that has not ended, or was cut, is not complete."""
        return self._as_calls(ended=self._ended)

    def at(self, end: Ending) -> tuple[Ending, tuple[ToolCall, ...]]:
        """How the answer ended, and its calls.

        Raises:
            ProviderError: a tool had to be called, or the server says that one was, and there is no such call; or a
                call came twice with two names or arguments.
        """
        for call in self._calls:
            if call.forms:
                came, whole = (repr(form if len(form) <= _QUOTED else f"{form[:_QUOTED]}…") for form in call.forms)
                raise ProviderError(
                    f"{self._server}: a call of {call.name[:40]!r} came as {came} in pieces and as {whole} in one; "
                    "nobody can tell which is right"
                )
        own = self._ended = end in _OWN_ENDS
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

    def _call_of(self, part: CallPart) -> _Call | None:
        """The call that a piece belongs to; None for a new one."""
        same = [each for each in self._calls if part.whole and part.id and each.id == part.id]
        found = [each for each in same or self._calls if each.place == part.place] or same
        if not found or (part.id and found[-1].id and part.id != found[-1].id):
            return None
        known = [] if self._tools is None else self._tools.names
        if not part.id and part.name in known and found[-1].name in known and part.name != found[-1].name:
            return None if not part.whole else found[-1]  # the next call of a server that gives no ids
        return found[-1]

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
        made = [call.made(names, complete=ended or call is not self._last) for call in list(self._calls)]
        clean, ids = self._clean, [call.id for call in made]
        for at, id_ in enumerate(ids):
            if not id_ or id_ in ids[:at]:  # answers could not be told apart, and APIs refuse it
                ids[at] = next(name for number in count(at) if (name := f"call_{number}") not in ids)
        return tuple(
            replace(call, id=clean(id_), name=clean(call.name), fault=clean(call.fault))
            for call, id_ in zip(made, ids, strict=True)
        )


class _Call:
    def __init__(self, place: int) -> None:
        self.place, self.id, self.name = place, "", ""
        self._pieces: list[str] = []
        self._names: list[str] = []  # each in one piece
        self._wholes: list[str] = []

    def take(self, part: CallPart) -> None:
        part = part._replace(id=mended(part.id), name=mended(part.name), instead=mended(joined(part.instead)))
        self.id = self.id or part.id
        if part.whole and part.name:
            self._names.append(part.name)
            self.name = self.name or part.name
        elif part.name != self.name:
            self.name += part.name
        self._pieces.append(part.arguments)
        if part.instead:
            self._wholes.append(part.instead)

    @property
    def arguments(self) -> str:
        """As they came in pieces, with what is missing behind them."""
        came = mended(joined("".join(self._pieces)))
        return next((whole for whole in reversed(self._wholes) if whole.startswith(came)), came)

    @property
    def forms(self) -> tuple[str, str] | None:
        """The two forms in which it came, where they are not the same; None for one that is one."""
        came = self.arguments
        wholes = [(came, each) for each in self._wholes if each.strip() not in _NOTHING and not _are_one(came, each)]
        names = [(self.name, each) for each in self._names if each != self.name]
        return next(iter([*names, *wholes]), None)

    def made(self, names: Sequence[str], *, complete: bool) -> ToolCall:
        return ToolCall.checked(self.id, self.name, self.arguments, complete=complete, names=names)


def _are_one(one: str, other: str) -> bool:
    """Whether two texts are the same arguments: a server may write its JSON anew."""
    if one.strip() == other.strip():
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return False
