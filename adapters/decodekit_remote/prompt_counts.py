"""The numbers of prompt tokens that a server reports: they show whether it read a text as the tokens that were drawn.

Not every such number is a count. Some servers report 0, some only the tokens that were not in their cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from decodekit.errors import ProviderError
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Conversation, Reply
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary

__all__ = ["Miscounted", "PromptCount", "PromptCounts"]

_LONGER = " 1, 2, 3, 4, 5, 6,"
_SHORT = "1"
_MOST_KEPT = 10_000


class Miscounted(ProviderError):
    """A server reports another number of tokens, and is not yet known to count them."""


@dataclass(frozen=True, slots=True)
class PromptCount:
    """What a server reports of one prompt.

    Attributes:
        plain: the number of its tokens.
        total: the same with the cached ones, which some servers leave out.
    """

    plain: int
    total: int


class PromptCounts:
    """The counts of one server.

    Args:
        server: the server.

    Attributes:
        trusted: whether its numbers are known to count all tokens of a prompt; None where that was not tried.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._starts: dict[int, PromptCount] = {}
        self._seen: dict[bytes, PromptCount] = {}
        self._absent = self._in_streams = False
        self.trusted: bool | None = None

    @property
    def known(self) -> bool:
        """Whether the server reports counts, as far as is known."""
        return not self._absent and self.trusted is not False

    def of(self, prefix: Prefix, reply: Reply, *, streamed: bool) -> PromptCount | None:
        """The count of a prefix, from the reply or from an earlier one; None where there is none."""
        number = reply.prompt_tokens
        absent = number is None or number < 1  # the prompt is not empty, so 0 is no count
        if streamed:
            self._in_streams = not absent
        else:
            self._absent = absent
        if not absent:
            if len(self._seen) >= _MOST_KEPT:
                self._seen.clear()
            count = _count(reply)
            self._seen[prefix.digest] = count
            if len(prefix) == 1 and isinstance(self._server.vocabulary, HashedVocabulary):
                self._starts[prefix.token_ids[0]] = count
        return self._seen.get(prefix.digest) if self.trusted is not False else None

    def expected(self, prefix: Prefix) -> PromptCount | None:
        """The count if the server reads the tokens of the prefix; None where it cannot be known."""
        ours = len(prefix)
        if isinstance(self._server.vocabulary, KnownVocabulary):
            return PromptCount(ours, ours)
        start = self._starts.get(prefix.token_ids[0])  # the full prompt; each following piece is one token
        return start and PromptCount(start.plain + ours - 1, start.total + ours - 1)

    def as_expected(self, prefix: Prefix) -> bool:
        """Whether a prefix was counted, and has the tokens that are meant."""
        seen, expected = self._seen.get(prefix.digest), self.expected(prefix)
        return seen is not None and expected is not None and expected.plain in (seen.plain, seen.total)

    def forget(self, prefix: Prefix) -> None:
        """Remove the count of a prefix, so that it is requested again."""
        self._seen.pop(prefix.digest, None)

    def uncounted(self, prefix: Prefix, *, stream: bool) -> list[Prefix]:
        """The prefixes whose counts are to be requested before this one is answered.

        Args:
            prefix: the prefix.
            stream: whether a stream answers it, which reports no count, or one at its end.
        """
        vocabulary = self._server.vocabulary
        if vocabulary is None or not self.known:
            return []
        wanted = []
        resumed = len(prefix) > 1 and prefix.token_ids[0] not in self._starts
        if isinstance(vocabulary, HashedVocabulary) and resumed:
            wanted.append(Prefix(prefix.token_ids[:1]))
        # A named tokenizer tells how each text is read; that the server has it is shown once for a prompt. The start of
        # an answer may be cut by the server, so it is counted each time.
        once = isinstance(vocabulary, KnownVocabulary) and not self._server.capabilities.conversations
        proved = self._has_counted_start(prefix) if once else prefix.digest in self._seen
        return wanted if proved or not stream or self._in_streams else [*wanted, prefix]

    def _has_counted_start(self, prefix: Prefix) -> bool:
        at: Prefix | None = prefix
        while at is not None and at.digest not in self._seen:
            at = at.parent
        return at is not None

    async def settle(self, prefix: Prefix) -> None:
        """Find out whether the server counts, with two requests for one longer text: a count grows, and is repeated.

        A number that stays the same for a longer text may be that of a text that was cut; a third request, for a short
        text, has another number then.
        """
        count, prompt = self._seen.get(prefix.digest), _longer(self._server, prefix)
        if self.trusted is not None or count is None or prompt is None:
            return
        request = replace(self._server.question([], self._server.capabilities.usual_top), prompts=(prompt,))
        counts = []
        for _ in range(2):
            (reply,) = await self._server.put(request)
            counts.append(_count(reply))
        one, other = counts
        self.trusted = one.plain == other.plain > count.plain or one.total == other.total > count.total
        if one.plain == other.plain == count.plain:
            short: str | Conversation = _SHORT
            if isinstance(prompt, Conversation):
                short = Conversation(({"role": "user", "content": _SHORT},))
            (reply,) = await self._server.put(replace(request, prompts=(short,)))
            self.trusted = _count(reply).plain not in (0, count.plain)
        if not self.trusted:
            self._server.transport.redaction.log(
                "warning",
                "the server's numbers of prompt tokens are no counts of all tokens, and are ignored",
                reported=count.plain,
                of_a_longer_text=one.plain,
                and_again=other.plain,
            )


def _count(reply: Reply) -> PromptCount:
    number = reply.prompt_tokens or 0
    return PromptCount(number, number + max(reply.cached_tokens or 0, 0))


def _longer(server: Server, prefix: Prefix) -> str | Conversation | None:
    """The prompt of a prefix with more text behind it; None where that is not possible."""
    assert server.vocabulary is not None
    prompt = server.vocabulary.prompt_of(prefix)
    if isinstance(prompt, str):
        return prompt + _LONGER
    if prompt.answer_start or prompt.begun:
        return replace(prompt, answer_start=prompt.answer_start + _LONGER)
    *others, last = prompt.messages
    content = last.get("content")
    return (
        replace(prompt, messages=(*others, {**last, "content": content + _LONGER}))
        if isinstance(content, str)
        else None
    )
