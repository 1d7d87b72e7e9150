"""The stored answers, many of them received before they are needed, and the checks on arrival."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import ProviderError
from decodekit.model.adapter import Answer
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Position, Reply, Request
from decodekit_remote.draft_length import DraftLength
from decodekit_remote.list_distribution import distribution
from decodekit_remote.same_texts import SameTexts
from decodekit_remote.server import Server
from decodekit_remote.server_tokenizer import ServerTokenizer
from decodekit_remote.text_checks import TextChecks
from decodekit_remote.vocabulary import HashedVocabulary

__all__ = ["Answers", "StoredAnswer"]

_MOST_KEPT = 2_000_000  # numbers in the answers kept for later
_MOST_DRAFTED = 10_000
_MOST_GIVEN = 256  # answers of earlier calls: several calls may be under way
_MOST_COUNTS = 10_000  # reports of cached tokens


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer, and the disclosures that it covers.

    Args:
        answer: the distribution.
        shown: what it covers.
        tellable: tokens of the list share a text, and the server can be asked which ones they are.
    """

    answer: Distribution
    shown: Disclosure
    tellable: bool = False

    def covers(self, want: Disclosure) -> bool:
        """Whether it shows what is requested."""
        if self.shown.covers(want):
            return True
        if want.kind != "named" or not self.shown.covers(Disclosure(want.top)) or self.answer.token_ids is None:
            return False
        return set(want.ids) <= set(self.answer.token_ids.tolist())


class Answers:
    """The stored answers, by the digest of their prefix: those of the last calls, and as many others as fit.

    Args:
        server: the server that gave them.
        draft_length: counts how often a draw agrees with the server's draft.
        checks: the checks of how a server tokenised texts.

    Attributes:
        same_texts: finds out which tokens are behind texts that several have.
    """

    def __init__(self, server: Server, draft_length: DraftLength, checks: TextChecks) -> None:
        self._server, self._draft_length, self._checks = server, draft_length, checks
        self.same_texts = SameTexts(server)
        self._guard = threading.Lock()  # several event loops may store answers
        self._last: OrderedDict[bytes, StoredAnswer] = OrderedDict()
        self._just_given: frozenset[bytes] = frozenset()  # by the last call, which may ask again for more
        self._kept: OrderedDict[bytes, StoredAnswer] = OrderedDict()
        self._numbers = 0
        self._cached: dict[bytes, int] = {}
        self._drafted: OrderedDict[bytes, bytes] = OrderedDict()
        self._unlisted: set[bytes] = set()
        self._seen_model: str | None = None
        self._seen_build: str | None = None

    def of(self, digest: bytes) -> StoredAnswer | None:
        """The answer for a prefix, if it is stored."""
        return self._last.get(digest) or self._kept.get(digest)

    def fresh(self, prefix: Prefix) -> StoredAnswer | None:
        """The answer that was stored last for a prefix."""
        return self._kept.get(prefix.digest)

    def was_given(self, digest: bytes) -> bool:
        """Whether one of the last calls was answered with it."""
        return digest in self._last

    def give(self, found: dict[bytes, Answer]) -> None:
        """Keep the answers of a call for the next calls, whatever else is stored."""
        self._just_given = frozenset(found)
        with self._guard:
            for digest, answer in found.items():
                kept = self._kept.get(digest) or self._last.get(digest)
                self._last.pop(digest, None)
                if kept is not None and kept.answer is answer:
                    self._last[digest] = kept
            while len(self._last) > max(_MOST_GIVEN, len(found)):
                self._last.popitem(last=False)

    def clear(self) -> None:
        """Remove all answers, and what was said of them."""
        with self._guard:
            self._last, self._kept, self._numbers, self._cached = OrderedDict(), OrderedDict(), 0, {}

    def mark_unlisted(self, prefix: Prefix) -> None:
        """The server gives no list for a prefix unless a token is forced."""
        self._unlisted.add(prefix.digest)

    def is_unlisted(self, prefix: Prefix) -> bool:
        """Whether `mark_unlisted` was called for it."""
        return prefix.digest in self._unlisted

    def cached_tokens(self, prefix: Prefix) -> int | None:
        """How many tokens of a prefix the server had cached, as it reported last; None where it did not."""
        return self._cached.get(prefix.digest)

    def observe(self, prefix: Prefix) -> None:
        """Count whether the last token of a prefix agrees with the server's draft."""
        parent = prefix.parent
        child = None if parent is None else self._drafted.get(parent.digest)
        if child is not None and prefix.digest not in self._just_given:
            self._draft_length.observe_draw(child == prefix.digest)

    def keep(
        self,
        prefix: Prefix,
        position: Position,
        question: Request,
        place: int,
        reply: Reply,
        *,
        bound: float | None = None,
    ) -> Prefix | None:
        """Make and store the answer of a prefix; returns the prefix with which the server continued."""
        schedule: dict[str, int | str] = {"place": place}
        if self._server.vocabulary is not None and self._server.vocabulary.assumes:
            schedule["assumed"] = self._server.vocabulary.assumes
        self._recognise(reply, schedule)
        if place == 0:
            self._checks.after(prefix, reply, schedule, streamed=question.stream)
            self._checks.observe(prefix, position)
            if reply.cached_tokens is not None:
                self._note_cached(prefix, reply.cached_tokens)
        earlier = self.of(prefix.digest)
        answer = distribution(
            position,
            question,
            self._server.capabilities,
            vocabulary=self._server.vocabulary,
            vocab_size=self._server.vocab_size,
            stage=self._server.capabilities.stage,
            schedule=schedule,
            bound=bound,
            leaves_out=self._server.leaves_out,
            shorter=None if earlier is None else earlier.answer,
        )
        if isinstance(self._server.vocabulary, HashedVocabulary) and answer.token_ids is not None:
            schedule["tokens"] = self._server.vocabulary.table(answer.token_ids.tolist())
        if self._server.vocabulary is not None and answer.token_ids is not None:
            self._note_left_out(answer, schedule)
            self._note_lost(len(answer.token_ids), question, schedule)
        if isinstance(self._server.tokenizer, ServerTokenizer):
            self._server.tokenizer.learn(position.pieces)
        shown = ALL if answer.tail is None else Disclosure(question.top, question.named)
        tellable = bound is None and self.same_texts.are_in(position)
        if tellable and answer.tail is not None:
            certain = int(np.count_nonzero(answer.scores >= (answer.tail.max_logprob or 0.0)))
            shown = Disclosure(certain) if certain else Disclosure()
        self._store(prefix.digest, StoredAnswer(answer, shown, tellable))
        return self._continuation(prefix, position, question)

    def _note_cached(self, prefix: Prefix, tokens: int) -> None:
        if len(self._cached) >= _MOST_COUNTS:
            self._cached.clear()
        self._cached[prefix.digest] = tokens

    def _continuation(self, prefix: Prefix, position: Position, question: Request) -> Prefix | None:
        """The prefix with which the server continued, if its token has an id; a greedy one is counted as its draft."""
        chosen = position.chosen
        if chosen is None:
            return None
        (token,) = [chosen] if self._server.vocabulary is None else self._server.vocabulary.identify([chosen])
        if not isinstance(token, int):
            return None
        child = prefix.extend([token])
        if question.temperature is None:
            with self._guard:
                self._drafted[prefix.digest] = child.digest
                if len(self._drafted) > _MOST_DRAFTED:
                    self._drafted.popitem(last=False)
        return child

    def _store(self, digest: bytes, kept: StoredAnswer) -> None:
        with self._guard:
            gone = self._kept.pop(digest, None)
            self._numbers -= 0 if gone is None else len(gone.answer.scores)
            self._kept[digest] = kept
            self._numbers += len(kept.answer.scores)
            while self._numbers > _MOST_KEPT and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._numbers -= len(oldest.answer.scores)

    def _recognise(self, reply: Reply, schedule: dict[str, int | str]) -> None:
        """Detect a model or a build that differs from the one at the beginning of the run."""
        if reply.model:
            if self._seen_model not in (None, reply.model):
                raise ProviderError(
                    f"{self._server.transport.base_url} answers as {reply.model!r}, and began as {self._seen_model!r}: "
                    "the model was changed"
                )
            self._seen_model = reply.model
        if reply.build and reply.build != self._seen_build:
            if self._seen_build is not None:
                self._server.transport.redaction.log(
                    "warning", "the server's build changed", was=self._seen_build, now=reply.build
                )
                schedule["build"] = self._server.transport.redaction.text(reply.build)
            self._seen_build = reply.build

    def _note_left_out(self, answer: Distribution, schedule: dict[str, int | str]) -> None:
        """Note in the record what was left out of a whole list, if this server may lose tokens with equal texts."""
        if self._server.leaves_out and answer.tail is None:
            lost = max(0.0, 1.0 - float(np.exp(answer.scores).sum()))
            left_out = f"tokens lost among equal texts are left out, {lost:.1e} of the probability"
            schedule["assumed"] = "; ".join(filter(None, [str(schedule.get("assumed", "")), left_out]))

    def _note_lost(self, shown: int, question: Request, schedule: dict[str, int | str]) -> None:
        """Note in the record why a list shows fewer tokens than were requested."""
        if self._server.capabilities.distinct_keys and shown < min(
            question.top, self._server.vocab_size or question.top
        ):
            schedule["shows_less"] = (
                f"dialect {self._server.dialect.name!r} lists tokens by their text, and of {question.top} asked for "
                f"{shown} have a text of their own: the end of a text is '' there, and equal texts are one entry. A "
                "dialect that lists ids or bytes, such as llama_server or vllm, shows them all"
            )
