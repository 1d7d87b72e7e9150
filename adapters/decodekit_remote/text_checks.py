"""Checks that a server that takes texts continues the same tokens, and an answer that was started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decodekit.errors import ProviderError
from decodekit.log import get_logger
from decodekit.model.prefix import Prefix
from decodekit.text.base import server_ids
from decodekit_remote.dialect import Conversation, Position, Reply
from decodekit_remote.reading import integers, reading
from decodekit_remote.refusals import Refused
from decodekit_remote.restarts import NEAR, Restarts, distance
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary

__all__ = ["TextChecks"]

_MOST_SAME = 10_000  # prefixes whose tokens are known to be the server's
_STORY = Conversation(({"role": "user", "content": "Tell me a long story about the sea."},))
_ALTERNATIVES = "another of prefill='last_message', 'continue_final_message' and 'prefix', or a completions dialect"


class TextChecks:
    """Checks one server, question by question.

    Args:
        server: the server.
        allow: whether another tokenisation is allowed and noted; otherwise it is an error.
    """

    def __init__(self, server: Server, *, allow: bool) -> None:
        self._server, self._allow = server, allow
        self._same: set[bytes] = set()
        self._route = True
        self._counts: dict[int, int] = {}
        self._why_no_prefill = ""
        self._restarts = Restarts(server)
        self.prefill_proved: bool | None = None

    async def before(self, prefix: Prefix) -> None:
        """The check before a prefix is sent. Raises `ProviderError`."""
        vocabulary = self._server.vocabulary
        if vocabulary is None:
            return
        prompt = vocabulary.prompt_of(prefix)
        if isinstance(prompt, Conversation):
            if prompt.answer_start or prompt.begun:
                await self.prove_prefill()
        elif isinstance(vocabulary, KnownVocabulary) and not self._allow:
            named = server_ids(vocabulary.tokenizer, prompt)
            if named != list(prefix.token_ids):
                raise self._retokenised(len(prefix), len(named))
            await self._compare(prefix, prompt)

    def after(self, prefix: Prefix, reply: Reply, schedule: dict[str, int | str]) -> None:
        """The check of an answer: the number of the prompt's tokens must be equal. Raises `ProviderError`."""
        vocabulary, counted = self._server.vocabulary, reply.prompt_tokens
        ours = len(prefix)
        if isinstance(vocabulary, KnownVocabulary):
            if counted in (None, ours):
                counted = self._recounted(prefix, vocabulary) if self._allow else None
        elif isinstance(vocabulary, HashedVocabulary) and counted is not None:
            start = prefix.token_ids[0]  # the full prompt; each following piece is one token
            if ours == 1:
                self._counts[start] = counted
            ours += self._counts.get(start, counted - ours + 1) - 1
            counted = None if counted == ours else counted
        else:
            return
        if counted is not None:
            if not self._allow:
                raise self._retokenised(ours, counted)
            schedule["retokenised_as"] = counted
            get_logger().warning("the server tokenised the text differently", ours=ours, theirs=counted)

    async def prove_prefill(self) -> None:
        """Let the server answer, and continue after the first tokens of that answer: it must give the same answer.

        Raises:
            ProviderError: it gives a different answer or none.
        """
        capabilities = self._server.capabilities
        if not capabilities.conversations or capabilities.prefill == "no" or self.prefill_proved:
            return
        if not self._why_no_prefill:
            self._why_no_prefill = await self._try_prefill()
            self.prefill_proved = not self._why_no_prefill
        if self._why_no_prefill:
            raise self._no_prefill()

    def observe(self, prefix: Prefix, position: Position) -> None:
        """Look at the first list that answers a prefix: a server may begin its answer again."""
        vocabulary = self._server.vocabulary
        if vocabulary is not None and self._server.capabilities.conversations:
            asked = vocabulary.prompt_of(prefix)
            if isinstance(asked, Conversation) and self._server.capabilities.prefill != "no":
                self._restarts.observe(asked, position)

    async def confirm(self, before: bool | None) -> None:
        """Settle what was noted, with one request where something is suspicious.

        Args:
            before: what `prefill_proved` was when the call began: if another call has disproved it since, the answers
                of this one are not given either.

        Raises:
            ProviderError: the server begins its answers again.
        """
        why = await self._restarts.found()
        if why:
            self._why_no_prefill, self.prefill_proved = why, False
        if why or (before is not False and self.prefill_proved is False):
            raise self._no_prefill()

    def _no_prefill(self) -> ProviderError:
        return ProviderError(
            f"{self._server.transport.base_url}: prefill={self._server.capabilities.prefill!r} was tried, and "
            f"{self._why_no_prefill}. Name {_ALTERNATIVES}; without prefill only one request's draft is available"
        )

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _without_bos(self, ids: Sequence[int]) -> list[int]:
        tokenizer = self._server.tokenizer
        assert tokenizer is not None
        return list(ids[1:] if ids and ids[0] == tokenizer.bos_id else ids)

    def _recounted(self, prefix: Prefix, vocabulary: KnownVocabulary) -> int | None:
        """How many tokens the named tokenizer gives for a text, where they differ."""
        prompt = vocabulary.prompt_of(prefix)
        if isinstance(prompt, Conversation):
            return None
        named = server_ids(vocabulary.tokenizer, prompt)
        return None if named == list(prefix.token_ids) else len(named)

    async def _compare(self, prefix: Prefix, text: str) -> None:
        """The server's own tokens of a prompt, where it has a route for them: it may put a space in front.

        Once for a prompt: drawn tokens are appended to the text, and counted.
        """
        at: Prefix | None = prefix
        while at is not None:
            if at.digest in self._same:
                break
            at = at.parent
        asked = self._server.dialect.tokenizing(text, False, self._server.info.model or None)
        if at is None and asked is not None and self._route:
            transport = self._server.transport
            try:
                answer = await transport.ask(*asked)
            except Refused as error:
                if error.status not in (400, 404, 405, 422, 501):
                    raise
                self._route = False
                return
            with reading(self._server.dialect.name, f"{transport.base_url}{asked[0]}", transport.redaction.text):
                theirs = self._without_bos(integers(answer["tokens"]))
            ours = self._without_bos(prefix.token_ids)
            if theirs != ours:
                raise self._retokenised(len(ours), len(theirs))
        if len(self._same) >= _MOST_SAME:
            self._same.clear()
        self._same.add(prefix.digest)

    def _retokenised(self, ours: int, theirs: int) -> ProviderError:
        there = f"{theirs} there" if theirs != ours else "others there"
        return ProviderError(
            f"{self._server.transport.base_url} retokenises the text ({ours} tokens here, {there}), so it would "
            "continue another sequence. Use a dialect that takes ids (llama_server, vllm, sglang), or "
            "retokenised='allow', which notes it in each step's schedule"
        )

    # -- the answer that was begun ------------------------------------------------------------------------------------

    async def _try_prefill(self) -> str:
        """Why the server is not known to continue an answer; '' when it does."""
        question = replace(self._server.question([], self._server.capabilities.usual_top, tokens=4), prompts=(_STORY,))
        (full,) = await self._server.put(question)
        places = [place for place in (2, 3) if place < len(full.positions) and _text_of(full.positions[:place])]
        if not places:
            return "its answer was too short to continue"
        first = full.positions[0]
        place = max(places, key=lambda place: distance(first, full.positions[place]))
        expected = full.positions[place]
        if distance(first, expected) < 2 * NEAR:
            return "its answer repeats itself, so a continuation looks like a new answer"
        begun = replace(_STORY, answer_start=_text_of(full.positions[:place]))
        (rest,) = await self._server.put(replace(question, prompts=(begun,), tokens=1))
        if not rest.positions:
            return "it returned nothing more"
        if distance(rest.positions[0], expected) <= NEAR:
            return ""
        restarted = distance(rest.positions[0], first) <= NEAR
        return "it began its answer again" if restarted else "it did not continue as before"


def _text_of(positions: Sequence[Position]) -> str:
    """The text of the chosen tokens; '' where that is not text."""
    parts = []
    for position in positions:
        chosen = position.chosen
        if not isinstance(chosen, bytes | str):
            return ""
        parts.append(chosen.encode() if isinstance(chosen, str) else chosen)
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        return ""
