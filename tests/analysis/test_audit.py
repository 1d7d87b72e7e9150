"""An audit catches each planted fault on its axis, passes a clean model, and says what it could not test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decodekit import ALL, ContextOverflow, Disclosure, Distribution, ParameterError
from decodekit.analysis.audit import AXES, DEFAULT, AuditReport, audit
from decodekit.analysis.audit.controls import shifted
from decodekit.analysis.audit.process import in_new_process
from decodekit.testing import NGramAdapter, TableAdapter
from tests.analysis import faulty_models as models

TOKENS = 10


def audited(kind: type[models.Cached], **options: float) -> AuditReport:
    return audit(kind(**options), make=lambda: kind(**options), tokens=TOKENS)


def words(report: AuditReport) -> dict[str, str]:
    return {each.axis: each.word for each in report.outcomes}


def test_a_clean_model_is_exact_and_what_cannot_be_tested_has_a_reason() -> None:
    report = audited(models.Cached)
    tested = {"repeat", "batch size", "batch order", "batch neighbours", "cache", "ancestors", "portions"}
    assert {axis for axis, word in words(report).items() if word == "exact"} == tested
    assert {axis for axis, word in words(report).items() if word == "not tested"} == {"process", "padding", "threads"}
    assert all(each.why for each in report.outcomes)
    assert report.stable and report.trusted and len(report.controls) == 8
    for each in report.outcomes:
        if each.measured is not None:
            assert each.measured.equal == each.measured.places > 0
            assert each.measured.flips == each.measured.at_risk == 0 and each.measured.largest == 0.0
    whole = next(each.measured for each in report.outcomes if each.axis == "ancestors")
    assert whole is not None and whole.survival == (1.0,) * TOKENS


@pytest.mark.parametrize(
    ("kind", "axis", "others"),
    [
        (models.NeverTheSame, "repeat", {"batch size", "cache"}),
        (models.ByTheSize, "batch size", {"ancestors"}),
        (models.ByThePlace, "batch order", {"batch size", "ancestors"}),
        (models.ByTheNeighbours, "batch neighbours", {"batch size", "ancestors"}),
        (models.ByTheCache, "cache", set()),
        (models.InPortions, "portions", set()),
        (models.ByTheAncestors, "ancestors", set()),
    ],
)
def test_a_planted_fault_is_found_on_its_axis(kind: type[models.Cached], axis: str, others: set[str]) -> None:
    report = audited(kind, size=1.0)
    found = words(report)
    assert found[axis] == "unstable" and not report.stable
    moved = {name for name, word in found.items() if word not in ("exact", "not tested")}
    if kind is not models.NeverTheSame:
        assert moved <= {axis, *others}, found
    outcome = next(each for each in report.outcomes if each.axis == axis)
    assert AXES[axis].cause in outcome.why
    measured = outcome.measured
    assert measured is not None and 0 < measured.flips <= measured.at_risk <= measured.draws
    assert measured.by_chance is not None and measured.by_chance > 1e-6  # the flips are those that the rows explain


@pytest.mark.parametrize(("size", "word"), [(1e-6, "numerically stable"), (1e-3, "sampling-stable"), (1.0, "unstable")])
def test_the_verdict_follows_the_size_of_the_fault(size: float, word: str) -> None:
    report = audit(models.ByTheSize(size), axes=["batch size"], tokens=TOKENS)
    assert words(report) == {"batch size": word}


def test_no_cache_hit_is_no_pass() -> None:
    found = audited(models.WithoutHits)
    assert words(found)["cache"] == words(found)["portions"] == "not tested"
    why = next(each.why for each in found.outcomes if each.axis == "cache")
    assert why.startswith("no cache hit: at 8 of 8 places")
    silent = audit(TableAdapter(models.row, models.V), make=lambda: TableAdapter(models.row, models.V), tokens=4)
    assert "does not say" in next(each.why for each in silent.outcomes if each.axis == "cache")


def test_a_new_adapter_whose_server_has_the_text_cached_is_no_cold_one() -> None:
    server = models.Cached()

    def made() -> models.Cached:
        client = models.Cached()
        client.held = server.held
        return client

    found = audit(server, make=made, axes=["cache"], tokens=TOKENS)
    assert "cached, so nothing was evaluated at once" in found.outcomes[0].why


def test_stored_answers_are_no_repetition() -> None:
    (found,) = audit(models.Memoised(), axes=["repeat"], tokens=TOKENS).outcomes
    assert found.word == "not tested" and "stored answers" in found.why


def test_heads_are_bounded() -> None:
    one, other = (models.Cached(most=Disclosure(8)) for _ in range(2))
    (same,) = audit(one, against=other, axes=["against"], tokens=TOKENS).outcomes
    assert same.word == "exact as shown"
    moved = TableAdapter(lambda ids: models.row(ids) + 0.5 * np.cos(np.arange(models.V)), models.V, most=Disclosure(8))
    (found,) = audit(one, against=moved, axes=["against"], tokens=TOKENS).outcomes
    whole = TableAdapter(lambda ids: models.row(ids) + 0.5 * np.cos(np.arange(models.V)), models.V)
    (exact,) = audit(models.Cached(), against=whole, axes=["against"], tokens=TOKENS).outcomes
    assert found.measured is not None and exact.measured is not None
    assert found.measured.tv_max.low < found.measured.tv_max.high and found.measured.by_chance is None
    assert found.measured.draws < exact.measured.draws and exact.word == "unstable"


def test_wrong_calls_are_told() -> None:
    model = models.Cached()
    with pytest.raises(ParameterError, match=r"no axis 'batch-size'.*did you mean 'batch size'"):
        audit(model, axes=["batch-size"])
    for tokens in (1, "a", 2.5, True):
        with pytest.raises(ParameterError, match="tokens must be an integer from 2"):
            audit(model, tokens=tokens)  # type: ignore[arg-type]
    for axes in ([], "repeat"):
        with pytest.raises(ParameterError, match="axes is a list of one or more names"):
            audit(model, axes=axes)
    with pytest.raises(ParameterError, match="an axis is a name, not 3"):
        audit(model, axes=[3])  # type: ignore[list-item]
    with pytest.raises(ParameterError, match="its type and its parameters"):
        audit(model, named={})
    with pytest.raises(ParameterError, match="not one text: 'abc'"):
        audit(model, prompts="abc")
    with pytest.raises(ParameterError, match="two or more different prompts"):
        audit(model, prompts=[[1, 2], [1, 2]])
    with pytest.raises(ParameterError, match="needs an adapter with a tokenizer"):
        audit(model, prompts=["a", "b"])
    with pytest.raises(ParameterError, match="vocabularies have 50 and 257 tokens"):
        audit(model, against=NGramAdapter("abc"))
    with pytest.raises(ContextOverflow, match="context of 28, and the model's is 20"):
        audit(TableAdapter(models.row, models.V, context_length=20))
    assert set(DEFAULT) == set(AXES) - {"against"}


def test_what_makes_no_adapter_is_a_reason_and_loses_nothing() -> None:
    def broken() -> NGramAdapter:
        raise ZeroDivisionError("division by zero")

    found = audit(NGramAdapter("the cat sat. " * 9), make=broken, tokens=3, axes=["repeat", "cache"])
    assert [each.word for each in found.outcomes] == ["exact", "not tested"]
    assert "make raised ZeroDivisionError: division by zero" in found.outcomes[1].why


def test_lists_that_leave_the_draws_open_are_undecided_and_never_called_stable() -> None:
    """Two models whose lists of three are equal, nearly, and which have other tokens behind them."""

    class Shows(TableAdapter):
        def predict(self, prefixes: Any, disclose: Any = None) -> Any:
            rows = [np.array(row(prefix.token_ids)) for prefix in prefixes]
            return [self._head(each, np.argsort(-each)[:3]) for each in rows]

        def _head(self, each: Any, ids: Any) -> Distribution:
            behind = np.delete(each, ids)
            total = np.logaddexp(np.logaddexp.reduce(each[ids]), np.logaddexp.reduce(behind))
            return Distribution.head(ids, each[ids] - total + self.off, 8, max_hidden=float((each[ids] - total).min()))

        off = 0.0

    def row(ids: Sequence[int]) -> list[float]:
        return list(np.roll(np.log([0.45, 0.14, 0.09, 0.08, 0.08, 0.08, 0.0799, 0.0001]), sum(ids) % 8))

    one, other = Shows(row, 8), Shows(row, 8)
    for each in (one, other):
        each.info = replace(each.info, most=Disclosure(top=3))
    (equal,) = audit(one, against=other, axes=["against"], prompts=[[1], [2]], tokens=20).outcomes
    assert equal.word == "exact as shown" and "the rest may differ by 0.3" in equal.why
    assert equal.measured is not None and equal.measured.expected.high > 0 == equal.measured.flips
    other.off = 1e-9
    (outcome,) = audit(one, against=other, axes=["against"], prompts=[[1], [2]], tokens=20).outcomes
    assert outcome.word == "undecided" and "may be expected" in outcome.why


def test_faults_are_planted_in_rows_whose_ids_are_hashes() -> None:
    ids = np.array([2720311769368960402, 2720311769368960530, 1 << 61])
    row = Distribution.listed(ids, [0.0, -1.0, -2.0], 1 << 62)
    moved = [shifted(row, by).scores.tobytes() for by in range(1, 9)]
    assert len(set(moved)) == 8


def test_an_interrupt_keeps_the_axes_that_are_done() -> None:
    def interrupted() -> NGramAdapter:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        audit(NGramAdapter("the cat sat. " * 9), make=interrupted, tokens=3, axes=["repeat", "batch size", "cache"])
    partial: AuditReport = caught.value.partial  # type: ignore[attr-defined]
    assert [(each.axis, each.word) for each in partial.outcomes] == [("repeat", "exact"), ("batch size", "exact")]
    assert partial.controls == () and partial.texts == 4


def test_parameters_that_no_process_can_be_told_are_refused() -> None:
    with pytest.raises(ParameterError, match="named: parameters as a configuration has them"):
        in_new_process({"type": "llamacpp", "model": object()}, [], ALL)
