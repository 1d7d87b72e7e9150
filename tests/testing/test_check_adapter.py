"""check_adapter accepts the exact models, and refuses every adapter broken on purpose, for the right reason."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from decodekit import ALL, CHEAP, Disclosure, ParameterError, Prefix
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter, check_adapter
from tests.testing.broken_adapters import (
    BROKEN,
    AnswersTheEmptyPrefix,
    Broken,
    CountsPositionsWrongPast64,
    DependsOnTheBatch,
    ForgetsEvictions,
    GivesHeads,
    GroupsBySuffix,
    KeepsStaleRows,
    RoundsByTheBatch,
    SortsAndForgetsTheOrder,
    V,
    table,
)
from tests.testing.test_check_tokenizer import DropsBytes


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
