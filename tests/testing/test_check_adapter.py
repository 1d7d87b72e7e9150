"""check_adapter accepts the exact models, and refuses every adapter broken on purpose, for the right reason."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from decodekit import ALL, CHEAP, AdapterError, AdapterInfo, Disclosure, Distribution, ParameterError, Prefix
from decodekit.testing import (
    BytesTokenizer,
    NGramAdapter,
    PiecesTokenizer,
    TableAdapter,
    check_adapter,
    check_tokenizer,
)

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
            self.buffer[:] = dist._row
            view = self.buffer.view()
            view.flags.writeable = False
            dist.__dict__["_row"] = view
        return dist


class LeavesArraysWritable(Broken):
    def answer(self, ids, want):
        dist = super().answer(ids, want)
        if isinstance(dist, Distribution):
            dist.__dict__["_row"] = dist._row.copy()
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
            spoiled = dist._row.copy()
            spoiled[3] = math.nan
            spoiled.flags.writeable = False
            dist.__dict__["_row"] = spoiled
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
    (AliasesItsBuffer, "bits differ|must not alias"),
    (LeavesArraysWritable, "can be written to"),
    (SortsAndForgetsTheOrder, "batched"),
    (DropsDuplicates, "answers to 7 prefixes"),
    (ForgetsEvictions, "again after 40 other sequences"),
    (CountsPositionsWrongPast64, "past 64 tokens"),
    (RaisesForOneBadRow, "made predict raise"),
    (SpoilsTheNeighbours, "neighbour of an id outside the vocabulary"),
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


@pytest.mark.parametrize(("adapter", "why"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_an_adapter_broken_on_purpose_is_refused_for_the_right_reason(adapter, why):
    with pytest.raises(AssertionError, match=why):
        check_adapter(adapter)


@pytest.mark.parametrize("seed", range(4))
def test_the_frame_the_broken_adapters_are_built_on_is_right_by_itself(seed):
    report = check_adapter(Broken, seed=seed)
    assert report.largest_difference == 0
    assert report.comparisons > 100


@pytest.mark.parametrize(
    "make",
    [
        table,
        lambda: table(tokenizer=PiecesTokenizer([bytes([97 + i % 26]) * (1 + i // 26) for i in range(V)])),
        lambda: table(context_length=100),
        lambda: table(context_length=16),
        lambda: table(most=Disclosure(top=5)),
        lambda: table(most=Disclosure(top=1)),
        lambda: table(most=Disclosure(top=5, ids=(0,))),
        lambda: TableAdapter({(): [1.0, 0.0, -1.0], (1,): [0.0, 0.0, 5.0]}, 3),
        lambda: NGramAdapter("the cat sat on the mat and the dog sat on the log. " * 3),
        GivesHeads,
    ],
)
def test_the_exact_models_pass_in_all_their_forms(make):
    report = check_adapter(make)
    assert report.largest_difference == 0
    assert report.questions > 100


def test_a_model_with_its_begin_of_text_token_may_answer_the_empty_prefix():
    class WithBos(AnswersTheEmptyPrefix):
        options: ClassVar = {"tokenizer": PiecesTokenizer([None, *(bytes([64 + i]) for i in range(1, V))], bos_id=0)}

    check_adapter(WithBos)


def test_an_async_adapter_is_checked_through_the_facade():
    class Waited:
        def __init__(self):
            self.inner = table()
            self.info, self.tokenizer = self.inner.info, None

        async def apredict(self, prefixes, disclose=CHEAP):
            return self.inner.predict(prefixes, disclose)

        async def aclose(self):
            self.inner.close()

    check_adapter(Waited)


def test_a_tolerance_forgives_rounding_and_nothing_more():
    report = check_adapter(RoundsByTheBatch, exact=False, tolerance=2e-3)
    assert 0 < report.largest_difference < 2e-3
    with pytest.raises(AssertionError, match="more than the tolerance of 1e-05"):
        check_adapter(RoundsByTheBatch, exact=False, tolerance=1e-5)


def test_the_last_calls_rows_have_the_same_bits_whatever_the_tolerance():
    with pytest.raises(AssertionError, match="last call's rows asked again"):
        check_adapter(DependsOnTheBatch, exact=False, tolerance=2e-3)


@pytest.mark.parametrize("adapter", [GroupsBySuffix, KeepsStaleRows, SortsAndForgetsTheOrder, ForgetsEvictions])
def test_a_tolerance_does_not_hide_a_confusion(adapter):
    with pytest.raises(AssertionError, match="differ by"):
        check_adapter(adapter, exact=False, tolerance=0.1)


def test_what_could_not_be_checked_is_reported():
    assert any("past 64" in line for line in check_adapter(lambda: table(context_length=60)).skipped)
    assert any("longer than the context" in line for line in check_adapter(table).skipped)

    class Moody(Broken):
        def __init__(self):
            super().__init__()
            self.info = replace(self.info, deterministic=False)

    assert any("determinism" in line for line in check_adapter(Moody).skipped)


def test_a_fault_past_64_tokens_is_missed_only_when_long_prefixes_are_left_out():
    check_adapter(CountsPositionsWrongPast64, long=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exact": False},
        {"exact": False, "tolerance": math.inf},
        {"tolerance": 0.5},
        {"prompts": [[1, 2]]},
        {"prompts": [[1, 2], [1, 2]]},
    ],
)
def test_a_call_that_checks_nothing_is_refused(wrong):
    with pytest.raises(ValueError):
        check_adapter(table, **wrong)


def test_prompts_may_be_texts_or_ids():
    check_adapter(lambda: NGramAdapter("abc abd abe"), prompts=["ab", "né", [97, 98, 99]])
    with pytest.raises(AssertionError, match="need an adapter with a tokenizer"):
        check_adapter(table, prompts=["text", "more"])


def test_it_needs_no_test_framework(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from decodekit.testing import NGramAdapter, check_adapter; "
        "check_adapter(lambda: NGramAdapter('abcabd')); assert 'pytest' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- tokenizers -------------------------------------------------------------------------------------------------------


class DropsBytes(BytesTokenizer):
    """Decodes through text and loses what is no whole character."""

    def decode(self, ids):
        return super().decode(ids).decode(errors="ignore").encode()


class Normalises(BytesTokenizer):
    def encode(self, text, *, special=False):
        import unicodedata

        return super().encode(unicodedata.normalize("NFC", text))


class AddsASpace(BytesTokenizer):
    def encode(self, text, *, special=False):
        return super().encode(" " + text if text else text)


class AddsBos(BytesTokenizer):
    def encode(self, text, *, special=False):
        return [256, *super().encode(text)]


class TakesMarkupForControl(BytesTokenizer):
    def encode(self, text, *, special=False):
        before, mark, after = text.partition("<|endoftext|>")
        return [*super().encode(before), *([256] if mark else []), *super().encode(after)]


class EndsOutside(BytesTokenizer):
    def __init__(self):
        super().__init__()
        self.eos_ids = frozenset([257])


class GivesTextForBytes(BytesTokenizer):
    def token_bytes(self, token_id):
        return chr(token_id)


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        (DropsBytes, "decoded"),
        (Normalises, "came back as"),
        (AddsASpace, "came back as"),
        (AddsBos, "adds no begin-of-text token"),
        (TakesMarkupForControl, "markup in a text is plain text"),
        (EndsOutside, "eos_ids lies outside"),
        (GivesTextForBytes, "not str"),
    ],
)
def test_a_tokenizer_broken_on_purpose_is_refused(tokenizer, why):
    with pytest.raises(AssertionError, match=why):
        check_tokenizer(tokenizer())


@pytest.mark.parametrize(
    "tokenizer",
    [BytesTokenizer(), PiecesTokenizer([b"a", b"b", b"ab", None, "é".encode(), b"\xc3", b"\xa9"], eos_ids=[3])],
)
def test_the_little_tokenizers_keep_their_contract(tokenizer):
    check_tokenizer(tokenizer)


def test_check_adapter_checks_the_tokenizer_too():
    def make():
        adapter = NGramAdapter("abc")
        adapter.tokenizer = DropsBytes()
        return adapter

    with pytest.raises(AssertionError, match="decoded"):
        check_adapter(make)


def test_a_prefix_is_checked_by_content_however_it_was_built():
    adapter = table()
    grown = Prefix([1]).extend([2]).extend([3])
    assert np.array_equal(adapter.predict([grown], ALL)[0].scores, adapter.predict([Prefix([1, 2, 3])], ALL)[0].scores)


def test_a_table_answers_a_question_for_an_unknown_token_with_an_error():
    (answer,) = table(most=Disclosure(top=3, ids=(0,))).predict([Prefix([1])], Disclosure(top=2, ids=(99,)))
    assert isinstance(answer, ParameterError)
