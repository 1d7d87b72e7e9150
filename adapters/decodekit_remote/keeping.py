"""Answers that were told ahead of being asked, and what is noticed as they come in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import ProviderError
from decodekit.log import get_logger
from decodekit.model.adapter import Answer
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Position, Question, Reply
from decodekit_remote.heads import distribution
from decodekit_remote.pace import Pace
from decodekit_remote.server import Server
from decodekit_remote.server_tokenizer import ServerTokenizer
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary

__all__ = ["Answers", "Kept"]

_MOST_KEPT = 2_000_000  # numbers in the answers kept for later
_MOST_BETS = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and what it may be asked for."""

    answer: Distribution
    shown: Disclosure

    def covers(self, want: Disclosure) -> bool:
        """Whether it shows what is wanted."""
        if self.shown.covers(want):
            return True
        if want.kind != "named" or not self.shown.covers(Disclosure(want.top)) or self.answer.token_ids is None:
            return False
        return set(want.ids) <= set(self.answer.token_ids.tolist())


class Answers:
    """The answers there are, by the digest of their prefix: those of the last call, and as many others as fit.

    Args:
        server: who gave them.
        pace: learns how often a draw is what the server had gone on with.
    """

    def __init__(self, server: Server, pace: Pace) -> None:
        self._server, self._pace = server, pace
        self._last: dict[bytes, Kept] = {}
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._numbers = 0
        self._bets: OrderedDict[bytes, bytes] = OrderedDict()
        self._holes: set[bytes] = set()
        self._seen_model: str | None = None
        self._seen_build: str | None = None

    def of(self, digest: bytes) -> Kept | None:
        """The answer for a prefix, if it is there."""
        return self._last.get(digest) or self._kept.get(digest)

    def fresh(self, prefix: Prefix) -> Kept | None:
        """The answer that was stored last for a prefix."""
        return self._kept.get(prefix.digest)

    def was_given(self, digest: bytes) -> bool:
        """Whether the last call was answered with it."""
        return digest in self._last

    def give(self, found: dict[bytes, Answer]) -> None:
        """Hold what a call is answered with until the next, whatever else is stored."""
        self._last = {
            digest: kept
            for digest, answer in found.items()
            if (kept := self._kept.get(digest) or self._last.get(digest)) is not None and kept.answer is answer
        }

    def clear(self) -> None:
        """Forget all answers."""
        self._last, self._kept, self._numbers = {}, OrderedDict(), 0

    def mark_hole(self, prefix: Prefix) -> None:
        """The server gives no list for a prefix unless a token is forced."""
        self._holes.add(prefix.digest)

    def has_hole(self, prefix: Prefix) -> bool:
        """Whether that was seen."""
        return prefix.digest in self._holes

    def observe(self, prefix: Prefix) -> None:
        """Learn from a prefix whether its last token is what the server had gone on with."""
        parent = prefix.parent
        child = None if parent is None else self._bets.get(parent.digest)
        if child is not None and prefix.digest not in self._last:
            self._pace.drawn(child == prefix.digest)

    def keep(
        self,
        prefix: Prefix,
        position: Position,
        question: Question,
        place: int,
        reply: Reply,
        *,
        bound: float | None = None,
    ) -> Prefix | None:
        """Make and store the answer of a prefix; the prefix that the server went on to."""
        schedule: dict[str, int | str] = {"place": place}
        self._recognise(reply, schedule)
        if isinstance(self._server.vocabulary, KnownVocabulary) and place == 0 and reply.prompt_tokens is not None:
            self._compare_lengths(prefix, reply.prompt_tokens, schedule)
        answer = distribution(
            position,
            question,
            self._server.capabilities,
            vocabulary=self._server.vocabulary,
            vocab_size=self._server.vocab_size,
            stage=self._server.capabilities.stage,
            schedule=schedule,
            bound=bound,
        )
        if isinstance(self._server.vocabulary, HashedVocabulary) and answer.token_ids is not None:
            schedule["tokens"] = self._server.vocabulary.table(answer.token_ids.tolist())
        if isinstance(self._server.tokenizer, ServerTokenizer):
            self._server.tokenizer.learn(position.pieces)
        shown = ALL if answer.tail is None else Disclosure(question.top, question.named)
        self._store(prefix.digest, Kept(answer, shown))
        chosen = position.chosen
        if chosen is None:
            return None
        (token,) = [chosen] if self._server.vocabulary is None else self._server.vocabulary.identify([chosen])
        if not isinstance(token, int):
            return None
        child = prefix.extend([token])
        if question.temperature is None:
            self._bets[prefix.digest] = child.digest
            if len(self._bets) > _MOST_BETS:
                self._bets.popitem(last=False)
        return child

    def _store(self, digest: bytes, kept: Kept) -> None:
        gone = self._kept.pop(digest, None)
        self._numbers -= 0 if gone is None else len(gone.answer.scores)
        self._kept[digest] = kept
        self._numbers += len(kept.answer.scores)
        while self._numbers > _MOST_KEPT and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._numbers -= len(oldest.answer.scores)

    def _recognise(self, reply: Reply, schedule: dict[str, int | str]) -> None:
        """Notice another model or another build than the run began with."""
        if reply.model:
            if self._seen_model not in (None, reply.model):
                raise ProviderError(
                    f"{self._server.transport.base_url} answers as {reply.model!r}, and began as {self._seen_model!r}: "
                    "the model was swapped"
                )
            self._seen_model = reply.model
        if reply.build and reply.build != self._seen_build:
            if self._seen_build is not None:
                get_logger().warning("the server's build changed", was=self._seen_build, now=reply.build)
                schedule["build"] = reply.build
            self._seen_build = reply.build

    def _compare_lengths(self, prefix: Prefix, counted: int, schedule: dict[str, int | str]) -> None:
        """Notice that a server made other tokens of a text than those it was put together from."""
        assert self._server.tokenizer is not None
        bos = self._server.tokenizer.bos_id
        own = len(prefix) - (bos is not None and int(prefix.since(0)[0]) == bos)
        if counted not in (own, own + (bos is not None)):
            schedule["retokenised_as"] = counted
            get_logger().warning("the server tokenised the text another way", ours=own, theirs=counted)
