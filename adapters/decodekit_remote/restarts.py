"""Detects a server that ignores a long prefill and starts the answer again.

The test of a prefill looks at two or three tokens. A server may continue these and ignore longer ones; each answer then
begins as the first one did. This is seen in the answers, without a request. As a model may also repeat itself, one
request settles it: a text that no answer begins with is appended to the prefill. The list after it is still that of a
beginning only if the server has not read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from decodekit.errors import DecodekitError
from decodekit_remote.dialect import Conversation, Position
from decodekit_remote.server import Server

__all__ = ["NEAR", "Restarts", "distance"]

NEAR = 0.5  # nats, on average over the first tokens; another schedule changes them by less
_FAR = 5.0  # nats; a token that is not listed is as far away as this
_STEER = " 1, 2, 3, 4, 5, 6,"
_MOST_CONVERSATIONS = 1_000


@dataclass(slots=True)
class _Begun:
    """How the answer to a conversation began.

    Attributes:
        length: characters of the answer that were sent then.
        position: the first list that came back.
        next: from how many characters on a beginning is suspicious again.
    """

    length: int
    position: Position
    next: int = 0


class Restarts:
    """Watches the answers of one server.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._begun: dict[str, _Begun] = {}
        self._suspects: list[Conversation] = []

    def observe(self, asked: Conversation, position: Position) -> None:
        """Look at the first list of an answer to a conversation."""
        messages, length = repr(asked.messages), len(asked.answer_start)
        begun = self._begun.get(messages)
        if begun is None or length <= begun.length:
            if len(self._begun) >= _MOST_CONVERSATIONS:
                self._begun.clear()
            self._begun[messages] = _Begun(length, position)
        elif length >= begun.next and distance(position, begun.position) <= NEAR:
            begun.next = 2 * length
            self._suspects.append(asked)

    async def found(self) -> str:
        """Why the server is known to begin answers again; '' where it is not. One request for each suspicion.

        A suspicion stays until it is settled, so that every call waits for it and not only the first to come here: a
        call that is cancelled here leaves it to the others.
        """
        for suspect in list(self._suspects):
            try:
                why = await self._again(suspect)
            except DecodekitError:
                self._settle(suspect)
                raise
            self._settle(suspect)
            if why:
                return why
        return ""

    def _settle(self, suspect: Conversation) -> None:
        if suspect in self._suspects:
            self._suspects.remove(suspect)

    async def _again(self, suspect: Conversation) -> str:
        begun = self._begun.get(repr(suspect.messages))
        question = self._server.question([], self._server.capabilities.usual_top)
        steered = replace(suspect, answer_start=suspect.answer_start + _STEER)
        (reply,) = await self._server.put(replace(question, prompts=(steered,)))
        if begun is None or not reply.positions or distance(reply.positions[0], begun.position) > NEAR:
            return ""
        return f"it began its answer again after a prefill of {len(steered.answer_start)} characters"


def distance(one: Position, other: Position) -> float:
    """How far apart two lists are, in nats: on average over the five most likely tokens of the other."""
    known = dict(zip(one.tokens, one.logprobs, strict=True))
    leading = sorted(zip(other.logprobs, other.tokens, strict=True), key=lambda each: -each[0])[:5]
    apart = [min(_FAR, abs(known[token] - value)) if token in known else _FAR for value, token in leading]
    return sum(apart) / max(len(apart), 1)
