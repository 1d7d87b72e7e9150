"""Checks that a server that takes texts continues the same tokens, and an answer that was started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decodekit.errors import ProviderError
from decodekit.log import get_logger
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Conversation, Position, Reply
from decodekit_remote.prompt_counts import Miscounted, PromptCounts
from decodekit_remote.reading import integers, reading
from decodekit_remote.refusals import Refused
from decodekit_remote.restarts import NEAR, Restarts, distance
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary

__all__ = ["Retokenised", "TextChecks"]

_MOST_SAME = 10_000  # prefixes whose tokens are known to be the server's
_UNCHECKED = (
    "no tokenizer is named, and the server reports no count of prompt tokens: it cannot be checked whether it reads "
    "the text as the tokens that were drawn; name the model's tokenizer with tokenizer="
)
_STORY = Conversation(({"role": "user", "content": "Tell me a long story about the sea."},))
_ALTERNATIVES = "another of prefill='last_message', 'continue_final_message' and 'prefix', or a completions dialect"


class Retokenised(ProviderError):
    """A server makes other tokens of a text than those of the prefix."""


class TextChecks:
    """Checks one server, question by question.

    Args:
        server: the server.
        allow: whether another tokenisation is allowed and noted; otherwise it is an error.

    Attributes:
        counts: the numbers of prompt tokens that it reports.
        prefill_proved: whether it is known to continue an answer; None where that was not tried.
    """

    def __init__(self, server: Server, *, allow: bool) -> None:
        self._server, self._allow = server, allow
        self._same: set[bytes] = set()
        self._route = True
        self._tokens: dict[bytes, list[int]] = {}  # of texts that were drawn, as the server has them
        self.counts = PromptCounts(server)
        self._told_unchecked = False
        self._why_no_prefill = ""
        self._restarts = Restarts(server)
        self.prefill_proved: bool | None = None

    async def before(self, prefix: Prefix) -> None:
        """The check before a prefix is sent. Raises `ProviderError`."""
        vocabulary = self._server.vocabulary
        if vocabulary is None:
            return
        if isinstance(vocabulary, HashedVocabulary):
            parent = prefix.parent
            if parent is not None and self._server.begun(parent) is not None:
                await self.begin_with_tokens(prefix)
        sent = self._server.begun(prefix)
        if sent is not None and isinstance(vocabulary, KnownVocabulary):
            start = prefix
            while start.parent is not None and len(start.parent) >= len(prefix) - len(sent.begin):
                start = start.parent
            if len(start) > len(prefix) - len(sent.begin):  # the prompt itself has no text
                start = Prefix(prefix.token_ids[: len(prefix) - len(sent.begin)])
            await self._compare(start, sent.text)
            return
        prompt = vocabulary.prompt_of(prefix)
        if isinstance(prompt, Conversation) and (prompt.answer_start or prompt.begun):
            await self.prove_prefill()
        if isinstance(vocabulary, KnownVocabulary) and not self._allow:
            named = vocabulary.ids_at_server(prefix)
            if named != list(prefix.token_ids):
                raise self._retokenised(prefix, len(named))
            if isinstance(prompt, str):
                await self._compare(prefix, prompt)

    async def begin_with_tokens(self, prefix: Prefix) -> bool:
        """Send a prefix of texts as a start that was counted, and the server's tokens of the texts after that.

        Returns whether that can be done: the server has a route that tokenises, and each text is one token.
        """
        vocabulary, begun = self._server.vocabulary, self._server.begun_answers
        if begun is None or not isinstance(vocabulary, HashedVocabulary):
            return False
        start = prefix
        while start.parent is not None and (
            start == prefix or self._server.begun(start) is not None or not self.counts.as_expected(start)
        ):
            start = start.parent
        pieces = [vocabulary.token_bytes(token) or b"" for token in prefix.token_ids[len(start) :]]
        ids: list[int] = []
        for piece in pieces:
            if piece not in self._tokens:
                asked = self._server.dialect.tokenizing(piece.decode("utf-8"), False, self._server.info.model or None)
                if asked is None:
                    return False
                answer = await self._server.transport.ask(*asked)
                with reading(self._server.dialect.name, self._server.transport.base_url):
                    self._tokens[piece] = integers(answer["tokens"])
            if len(self._tokens[piece]) != 1:
                return False
            ids += self._tokens[piece]
        return bool(ids) and len(start) > 0 and begun.continue_with(prefix, start, ids, pieces)

    def after(self, prefix: Prefix, reply: Reply, schedule: dict[str, int | str], *, streamed: bool = False) -> None:
        """The check of an answer: the number of the prompt's tokens must be equal.

        Raises:
            Miscounted: it is not, and the server is not yet known to count them; see `settle`.
            ProviderError: it is not.
        """
        vocabulary = self._server.vocabulary
        if vocabulary is None:
            return
        count = self.counts.of(prefix, reply, streamed=streamed)
        theirs = None
        if count is not None:
            expected = self.counts.expected(prefix)
            if expected is not None and count.plain != expected.plain and count.total != expected.total:
                theirs = count.plain
        elif isinstance(vocabulary, HashedVocabulary) and len(prefix) > 1 and not self._told_unchecked:
            self._told_unchecked = True
            get_logger().warning(_UNCHECKED, server=self._server.transport.base_url)
        if theirs is not None and (self.counts.trusted is None or not self._allow):
            error = self._retokenised(prefix, theirs, counted=True)
            if self.counts.trusted is None:
                raise Miscounted(str(error))
            self.counts.forget(prefix)
            raise error
        if theirs is None and self._allow and isinstance(vocabulary, KnownVocabulary):
            named = vocabulary.ids_at_server(prefix)
            theirs = None if named == list(prefix.token_ids) else len(named)
        if theirs is not None:
            schedule["retokenised_as"] = theirs
            get_logger().warning("the server tokenised the text differently", ours=len(prefix), theirs=theirs)

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
            f"{self._why_no_prefill}. Name {_ALTERNATIVES}; without prefill the server draws"
        )

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _without_bos(self, ids: Sequence[int]) -> list[int]:
        tokenizer = self._server.tokenizer
        assert tokenizer is not None
        return list(ids[1:] if ids and ids[0] == tokenizer.bos_id else ids)

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
                raise self._retokenised(prefix, len(theirs) + len(prefix) - len(ours))
        if len(self._same) >= _MOST_SAME:
            self._same.clear()
        self._same.add(prefix.digest)

    def _retokenised(self, prefix: Prefix, theirs: int, *, counted: bool = False) -> ProviderError:
        expected, tokenizer = self.counts.expected(prefix), self._server.tokenizer
        ours = len(prefix) if expected is None else expected.plain
        there = f"{theirs} there" if theirs != ours else "others there"
        bos = counted and tokenizer is not None and prefix.token_ids[0] == tokenizer.bos_id and theirs == ours - 1
        other = ", or does not write BOS, or does not count it" if bos else ""
        return Retokenised(
            f"{self._server.transport.base_url} retokenises the text ({ours} tokens here, {there}){other}, so it would "
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
