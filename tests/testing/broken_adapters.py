"""Adapters broken on purpose, one fault each, and the reason for which each must be refused."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from decodekit import CHEAP, AdapterError, AdapterInfo, Disclosure, Distribution, ParameterError
from decodekit.testing import TableAdapter
from tests.testing.broken_rows import with_values

V = 40


def row(ids: Sequence[int]) -> np.ndarray:
    """A row of float32 scores that depends on every id: whatever is confused shows."""
    digest = hashlib.blake2b(np.asarray(ids, dtype=np.int64).tobytes(), digest_size=8).digest()
    return (np.random.default_rng(int.from_bytes(digest, "little")).normal(size=V) * 2).astype(np.float32)


def table(**options) -> TableAdapter:
    return TableAdapter(row, V, **options)


class Broken(TableAdapter):
    """A right model to break: subclasses change `predict` or `answer`."""

    options: ClassVar[dict] = {}

    def __init__(self):
        super().__init__(row, V, **self.options)
        self.cached: dict[tuple[int, ...], int] = {}

    def predict(self, prefixes, disclose=CHEAP):
        if self._closed:
            raise AdapterError("closed")
        wanted = [disclose] * len(prefixes) if isinstance(disclose, Disclosure) else disclose
        return self.answers([prefix.token_ids for prefix in prefixes], wanted)

    def answers(self, rows, wanted):
        return [self.answer(ids, want) for ids, want in zip(rows, wanted, strict=True)]

    def answer(self, ids, want):
        return self._answer(ids, want)

    def base(self, ids) -> int:
        """The length of the longest part from the start that was asked before."""
        return max((n for n in range(len(ids) + 1) if ids[:n] in self.cached), default=0)


class GroupsBySuffix(Broken):
    """The fault found in a peer: duplicates are told apart by what is left after the cached part was cut off."""

    def answers(self, rows, wanted):
        rest = {ids: ids[self.base(ids) :] or ids for ids in rows}
        groups: dict = {}
        for ids in rows:
            groups.setdefault(rest[ids], ids)
        self.cached |= dict.fromkeys(rows, 0)
        return super().answers([groups[rest[ids]] for ids in rows], wanted)


class KeepsStaleRows(Broken):
    """Keeps the cache up to the new length without comparing the ids, as if every question continued the last."""

    last: tuple[int, ...] = ()

    def answer(self, ids, want):
        if not ids or max(ids) >= V:
            return super().answer(ids, want)
        used = ids if len(ids) > len(self.last) else (*self.last[: len(ids) - 1], ids[-1])
        self.last = ids
        return super().answer(used, want)


class AliasesItsBuffer(Broken):
    """Hands out views of the one buffer it writes every row into."""

    def __init__(self):
        super().__init__()
        self.buffer = np.zeros(V, dtype=np.float32)

    def answer(self, ids, want):
        dist = super().answer(ids, want)
        if isinstance(dist, Distribution):
            self.buffer[:] = dist.row.values
            view = self.buffer.view()
            view.flags.writeable = False
            return with_values(dist, view)
        return dist


class LeavesArraysWritable(Broken):
    def answer(self, ids, want):
        dist = super().answer(ids, want)
        if isinstance(dist, Distribution):
            return with_values(dist, dist.row.values.copy())
        return dist


class SortsAndForgetsTheOrder(Broken):
    def answers(self, rows, wanted):
        return super().answers(sorted(rows, key=len), wanted)


class DropsDuplicates(Broken):
    def answers(self, rows, wanted):
        unique = list(dict.fromkeys(rows))
        return super().answers(unique, wanted[: len(unique)])


class ForgetsEvictions(Broken):
    """Twenty-four slots, written round and round; the index still points at slots that hold something else now."""

    def __init__(self):
        super().__init__()
        self.slots: list = [None] * 24
        self.written = 0

    def answer(self, ids, want):
        if ids not in self.cached:
            self.cached[ids] = self.written % 24
            self.slots[self.written % 24] = super().answer(ids, want)
            self.written += 1
        held = self.slots[self.cached[ids]]
        return held if isinstance(held, Distribution) else super().answer(ids, want)


class CountsPositionsWrongPast64(Broken):
    """Right as long as nothing is cached, and one position off in a continuation past 64 tokens."""

    def answer(self, ids, want):
        warm = self.base(ids) > 0
        self.cached[ids] = 0
        return super().answer(ids[1:] if warm and len(ids) > 64 else ids, want)


class RaisesForOneBadRow(Broken):
    def answer(self, ids, want):
        answer = super().answer(ids, want)
        if not isinstance(answer, Distribution):
            raise answer
        return answer


class SpoilsTheNeighbours(Broken):
    """One bad row, and all rows of the batch are answered with its error."""

    def answers(self, rows, wanted):
        found = super().answers(rows, wanted)
        bad = [answer for answer in found if not isinstance(answer, Distribution)]
        return bad[:1] * len(found) if bad else found


class DependsOnTheBatch(Broken):
    """What a kernel chosen by the number of rows does: the last bits move."""

    def answers(self, rows, wanted):
        found = super().answers(rows, wanted)
        return [
            Distribution.dense(answer.scores + 1e-5 * len(rows) * np.cos(np.arange(V)))
            if isinstance(answer, Distribution)
            else answer
            for answer in found
        ]


class RoundsByTheBatch(DependsOnTheBatch):
    """The same in an honest adapter: the rows of the last call stay askable with the same bits."""

    def __init__(self):
        super().__init__()
        self.last: dict = {}

    def answers(self, rows, wanted):
        if not all(ids in self.last for ids in rows):
            self.last = dict(zip(rows, super().answers(rows, wanted), strict=True))
        return [self.last[ids] for ids in rows]


class NeverTheSameTwice(Broken):
    asked = 0

    def answer(self, ids, want):
        self.asked += 1
        dist = super().answer(ids, want)
        if not isinstance(dist, Distribution):
            return dist
        return Distribution.dense(dist.scores + 1e-6 * self.asked * np.sin(np.arange(V)))


class DiffersBetweenInstances(Broken):
    made = 0

    def __init__(self):
        super().__init__()
        type(self).made += 1
        self.shift = 1e-6 * type(self).made

    def answer(self, ids, want):
        dist = super().answer(ids, want)
        if not isinstance(dist, Distribution):
            return dist
        return Distribution.dense(dist.scores * (1 + self.shift))


class AnswersAncestorsWithTheWhole(Broken):
    """One pass over a chain, and every row read at its end."""

    def answers(self, rows, wanted):
        deepest = [max((r for r in rows if r[: len(ids)] == ids), key=len) for ids in rows]
        return super().answers(deepest, wanted)


class GivesHeads(Broken):
    """Disclosure(top=k) is answered with exactly k tokens, and ALL with all."""

    def head(self, dist: Distribution, want: Disclosure) -> Distribution:
        ids, logprobs = dist.leading(want.top or 1)
        ids = np.union1d(ids, np.array(want.ids, dtype=np.int64))
        return Distribution.head(ids, dist.logprobs_of(ids), V, max_hidden=float(logprobs.min()))

    def answer(self, ids, want):
        dist = super().answer(ids, want)
        if not isinstance(dist, Distribution) or want.kind == "all" or (want.top or 0) >= V:
            return dist
        return self.head(dist, want)


class BoundsTheTailTooTightly(GivesHeads):
    def head(self, dist, want):
        ids, logprobs = dist.leading(want.top or 1)
        ids = np.union1d(ids, np.array(want.ids, dtype=np.int64))
        return Distribution.head(ids, dist.logprobs_of(ids), V, max_hidden=float(logprobs.min()) - 3)


class RenormalisesItsHeads(GivesHeads):
    def head(self, dist, want):
        ids, logprobs = dist.leading(want.top or 1)
        return Distribution.head(ids, logprobs - np.logaddexp.reduce(logprobs), V)


class ShowsOneTokenTooFew(GivesHeads):
    def head(self, dist, want):
        return super().head(dist, replace(want, top=max(1, (want.top or 1) - 1)))


class IgnoresNamedIds(GivesHeads):
    def head(self, dist, want):
        return super().head(dist, Disclosure(want.top))


class TakesOneDisclosureForAll(GivesHeads):
    def answers(self, rows, wanted):
        return super().answers(rows, [wanted[-1]] * len(rows) if wanted else [])


class RenormalisesLikeAnApi(Broken):
    """The same fault where no whole row is ever shown: only questions of different size give it away."""

    options: ClassVar = {"most": Disclosure(top=6)}

    def answer(self, ids, want):
        head = super().answer(ids, want)
        if not isinstance(head, Distribution):
            return head
        return Distribution.head(head.token_ids, head.scores - np.logaddexp.reduce(head.scores), V)


class CutsLongPrefixes(Broken):
    options: ClassVar = {"context_length": 90}

    def answer(self, ids, want):
        return super().answer(ids[-90:], want)


class RefusesLongPrefixesWithAnyError(Broken):
    options: ClassVar = {"context_length": 90}

    def answer(self, ids, want):
        return ParameterError("too long") if len(ids) > 90 else super().answer(ids, want)


class AnswersUnknownIds(Broken):
    def answer(self, ids, want):
        return super().answer(tuple(i % V for i in ids), want)


class AnswersTheEmptyPrefix(Broken):
    def answer(self, ids, want):
        return super().answer(ids or (0,), want)


class AnswersNaN(Broken):
    def answer(self, ids, want):
        dist = super().answer(ids, want)
        if isinstance(dist, Distribution):
            spoiled = dist.row.values.copy()
            spoiled[3] = math.nan
            spoiled.flags.writeable = False
            return with_values(dist, spoiled)
        return dist


class AnswersWithArrays(Broken):
    def answer(self, ids, want):
        return row(ids)


class AnswersAnotherVocabulary(Broken):
    def answer(self, ids, want):
        return Distribution.dense(row(ids)[:-1]) if ids and max(ids) < V else super().answer(ids, want)


class SaysRawAndGivesProcessed(Broken):
    def answer(self, ids, want):
        dist = super().answer(ids, want)
        return dist.scaled(0.5) if isinstance(dist, Distribution) else dist


class FailsOnNothing(Broken):
    def answers(self, rows, wanted):
        return super().answers(rows, wanted) if len(rows) else [None]


class AnswersAfterClose(Broken):
    def close(self):
        pass


class ClosesOnce(Broken):
    def close(self):
        if self._closed:
            raise RuntimeError("closed already")
        super().close()


class CannotBeWritten(Broken):
    def __init__(self):
        super().__init__()
        self.info = replace(self.info, versions={"backend": object()})  # type: ignore[dict-item]


class DoesNotSayHowMuch(Broken):
    def __init__(self):
        super().__init__()
        self.info = AdapterInfo(name="vague", model="vague", vocab_size=V)


BROKEN = [
    (GroupsBySuffix, "a suffix shared by two cached prefixes"),
    (KeepsStaleRows, "one by one|rolled back"),
    (AliasesItsBuffer, "bits differ|must not share memory"),
    (LeavesArraysWritable, "can be written to"),
    (SortsAndForgetsTheOrder, "batched"),
    (DropsDuplicates, "answers to 7 prefixes"),
    (ForgetsEvictions, "again after 40 other sequences"),
    (CountsPositionsWrongPast64, "past 64 tokens"),
    (RaisesForOneBadRow, "made predict raise"),
    (SpoilsTheNeighbours, "in one call with an id outside the vocabulary"),
    (DependsOnTheBatch, "bits differ"),
    (NeverTheSameTwice, "bits differ"),
    (DiffersBetweenInstances, "two fresh adapters disagree"),
    (AnswersAncestorsWithTheWhole, "ancestors in one call"),
    (BoundsTheTailTooTightly, "no hidden token has a logprob above"),
    (RenormalisesItsHeads, "nothing may be renormalised"),
    (RenormalisesLikeAnApi, "nothing may be renormalised"),
    (ShowsOneTokenTooFew, "was answered with 1 tokens"),
    (IgnoresNamedIds, "asked for by id"),
    (TakesOneDisclosureForAll, "a row that asked for"),
    (CutsLongPrefixes, "longer than the context was answered"),
    (RefusesLongPrefixesWithAnyError, "is a ContextOverflow"),
    (AnswersUnknownIds, "an id outside the vocabulary was answered"),
    (AnswersTheEmptyPrefix, "an empty prefix"),
    (AnswersNaN, "NaN"),
    (AnswersWithArrays, "not ndarray"),
    (AnswersAnotherVocabulary, "vocab_size is 40"),
    (SaysRawAndGivesProcessed, "info.stage"),
    (FailsOnNothing, r"predict\(\[\]\)"),
    (AnswersAfterClose, "after close"),
    (ClosesOnce, "a second time"),
    (CannotBeWritten, "JSON"),
    (DoesNotSayHowMuch, "info.most"),
]
