"""The callers that one round answered: what each of them makes of its answers is made for all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from decodekit.model.adapter import Answer

__all__ = ["Company", "Member", "SharedAnswers"]


class Member(NamedTuple):
    """One caller of a round.

    Args:
        caller: who asked. It changes nothing that others read before it has taken what is made here.
        answers: what it gets.
    """

    caller: Any
    answers: Sequence[Answer]


class Company:
    """The callers of one round that make the same kind of thing of their answers."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._made: dict[int, Any] | None = None
        self._guard = threading.Lock()

    def add(self, caller: object, answers: Sequence[Answer]) -> None:
        """Another member, before any of them is answered."""
        self._members.append(Member(caller, answers))

    def made_for(self, caller: object, make: Callable[[Sequence[Member]], Sequence[Any]]) -> Any:
        """What ``make`` gives for this caller. The first caller makes it for all; an interrupt there loses nothing.

        Args:
            caller: one of the members.
            make: returns one thing for each member, in order; the same function for all of them.
        """
        with self._guard:
            if self._made is None:
                made = make(self._members)
                self._made = {id(member.caller): each for member, each in zip(self._members, made, strict=True)}
                self._members = []  # their answers are large
            return self._made.pop(id(caller))


class SharedAnswers(list[Answer]):
    """A caller's answers from a round that answered others too.

    Args:
        answers: to the caller's question.
        company: the callers of the round, this one too.
    """

    def __init__(self, answers: Sequence[Answer], company: Company) -> None:
        super().__init__(answers)
        self.company = company
