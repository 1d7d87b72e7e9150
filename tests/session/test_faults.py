"""Adapters that answer nonsense, raise, or are interrupted: typed errors, whole traces, nothing lost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit import (
    AdapterError,
    Chain,
    ContextOverflow,
    DecodekitError,
    Distribution,
    DistributionError,
    EmptySupport,
    ParameterError,
    PluginError,
    Session,
    TraceError,
    read_trace,
)
from decodekit.errors import OutOfMemory
from tests.session.conftest import Around, V, plain, table


def after(tokens: int, fault, **info):
    """Right answers for the first calls, then ``fault(prefixes)``."""
    calls = iter(range(10**9))

    def act(inner, prefixes, wanted):
        return inner.predict(prefixes, wanted) if next(calls) < tokens else fault(prefixes)

    return Around(table(), act, **info)


def spoiled(value: float) -> Distribution:
    """What an adapter makes of a row with one bad number: the constructor raises inside `predict`."""
    row = np.zeros(V)
    row[7] = value
    return Distribution.dense(row)


FAULTS = [
    (lambda _: [spoiled(math.nan)], DistributionError, r"1 of 50 scores are NaN \(stage 'adapter', step 3\)"),
    (lambda _: [spoiled(math.inf)], DistributionError, r"\+inf \(stage 'adapter', step 3\)"),
    (lambda _: [Distribution.dense([-math.inf] * V)], EmptySupport, r"\(stage 'adapter', step 3\)"),
    (lambda _: [EmptySupport("all is masked")], EmptySupport, r"all is masked \(stage 'adapter', step 3\)"),
    (lambda _: [DistributionError("odd", stage="server")], DistributionError, r"odd \(stage 'server', step 3\)"),
    (
        lambda _: [Distribution.dense([0.0] * 9)],
        DistributionError,
        r"vocabulary of 50 and answered with one of 9.*step 3",
    ),
    (lambda _: [Distribution.head([1], [-1.0])], DistributionError, "answered with one of None"),
    (lambda _: [np.zeros(V)], AdapterError, "adapter 'table' answered with ndarray"),
    (lambda _: [None], AdapterError, "adapter 'table' answered with None"),
    (lambda _: None, AdapterError, "answered with None, not with a list"),
    (lambda _: np.zeros(V), AdapterError, "answered with ndarray, not with a list"),
    (lambda _: [], AdapterError, "adapter 'table' gave 0 answers to 1 prefixes"),
    (lambda _: [spoiled(1.0)] * 2, AdapterError, "gave 2 answers to 1 prefixes"),
    (lambda _: [OutOfMemory("no room for 4 tokens")], OutOfMemory, "no room for 4 tokens"),
    (lambda _: 1 / 0, AdapterError, "adapter 'table' raised ZeroDivisionError"),
    (lambda _: (_ for _ in ()).throw(AdapterError("the wire is cut")), AdapterError, "the wire is cut"),
]


@pytest.mark.parametrize(("fault", "kind", "why"), FAULTS)
def test_a_fault_is_a_typed_error_that_holds_everything_so_far(fault, kind, why, tmp_path):
    path = tmp_path / "run.jsonl"
    with pytest.raises(kind, match=why) as caught:
        Session(after(3, fault), seed=2).generate([1], max_tokens=9, trace=path)
    partial = caught.value.partial
    expected = Session(table(), seed=2).generate([1], max_tokens=3)
    assert (partial.token_ids, partial.finish_reason, partial.seed) == (expected.token_ids, "error", 2)
    assert len(partial.trace.steps) == 3
    assert partial.error is caught.value
    trace = read_trace(path)
    assert trace.token_ids() == list(expected.token_ids)
    (end,) = trace.footer.ends
    assert (end.finish_reason, end.tokens, end.error) == ("error", 3, str(caught.value))


@pytest.mark.parametrize(("fault", "kind", "why"), FAULTS)
def test_a_stream_hands_out_what_there_was_and_then_raises(fault, kind, why):
    steps = Session(after(3, fault), seed=2).stream([1], max_tokens=9)
    seen = [next(steps).token_id for _ in range(3)]
    with pytest.raises(kind, match=why) as caught:
        next(steps)
    assert caught.value.partial.token_ids == tuple(seen)


def test_a_row_that_fails_does_not_raise_in_a_batch():
    adapter = Around(table(), lambda inner, p, w: [AdapterError("no"), *inner.predict(p[1:], w[1:])])
    rows = Session(adapter, seed=2).generate_many([[1], [2]], max_tokens=1)
    assert [row[0].finish_reason for row in rows] == ["error", "length"]
    assert str(rows[0][0].error) == "no"


def test_an_adapter_that_dies_ends_the_batch_and_the_error_holds_all_results():
    def fault(prefixes):
        raise RuntimeError("the device is gone")

    with pytest.raises(AdapterError, match="the device is gone") as caught:
        Session(after(2, fault), seed=2).generate_many([[1], [2]], n=2, max_tokens=9)
    partial = caught.value.partial
    assert [len(result.token_ids) for result in partial] == [2] * 4
    assert {result.finish_reason for result in partial} == {"error"}
    assert all(result.error is caught.value for result in partial)


def test_what_had_finished_before_the_adapter_died_is_finished():
    adapter = after(2, lambda _: 1 / 0, concurrency=1)
    with pytest.raises(AdapterError) as caught:
        Session(adapter, seed=2).generate_many([[1], [2]], max_tokens=2)
    first, second = caught.value.partial
    assert (first.finish_reason, len(first.token_ids), first.error) == ("length", 2, None)
    assert (second.finish_reason, second.token_ids) == ("error", ())


def test_a_plugin_that_raises_is_named_with_its_step():
    def brittle(dist, ctx):
        if ctx.step == 2:
            raise KeyError("lost")
        return dist

    with pytest.raises(PluginError, match="plugin 'brittle', step 2: raised KeyError") as caught:
        Session(table(), Chain([brittle]), seed=2).generate([1], max_tokens=9)
    assert len(caught.value.partial.token_ids) == 2


# -- interrupts -------------------------------------------------------------------------------------------------------


class Stopped(BaseException):
    """Somebody else's way to end a program."""


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, Stopped])
def test_an_interrupt_inside_the_adapter_cancels_the_run_and_goes_on(interrupt, tmp_path):
    def fault(prefixes):
        raise interrupt

    path = tmp_path / "run.jsonl"
    session = Session(after(3, fault), seed=2)
    with pytest.raises(interrupt):
        session.generate([1], max_tokens=9, trace=path)
    trace = read_trace(path)
    (end,) = trace.footer.ends
    assert (end.finish_reason, end.tokens, len(trace.steps), end.error) == ("cancelled", 3, 3, None)


@pytest.mark.parametrize(
    ("raised", "reason"), [(KeyboardInterrupt, "cancelled"), (ValueError, "error"), (AdapterError, "error")]
)
@pytest.mark.parametrize("how", ["generate", "stream", "generate_many"])
def test_what_until_raises_comes_after_the_step_it_saw_is_recorded(raised, reason, how, tmp_path):
    seen = []

    def until(step):
        seen.append(step.token_id)
        if len(seen) == 3:
            raise raised("enough")
        return False

    path = tmp_path / "run.jsonl"
    session = Session(table(), seed=2)
    call = {
        "generate": session.generate,
        "stream": lambda prompt, **options: list(session.stream(prompt, **options)),
        "generate_many": lambda prompt, **options: session.generate_many([prompt], **options),
    }[how]
    with pytest.raises(raised, match="enough") as caught:
        call([1], max_tokens=9, until=until, trace=path)
    trace = read_trace(path)
    (end,) = trace.footer.ends
    assert trace.token_ids() == seen
    assert (end.finish_reason, end.tokens) == (reason, 3)
    assert end.error == ("enough" if reason == "error" else None)
    if isinstance(caught.value, DecodekitError):
        assert caught.value.partial.token_ids == tuple(seen)


def test_an_interrupt_inside_a_processor_keeps_every_finished_step(tmp_path):
    def impatient(dist, ctx):
        if ctx.step == 2:
            raise KeyboardInterrupt
        return dist

    path = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        Session(table(), Chain([impatient]), seed=2).generate([1], max_tokens=9, trace=path)
    assert [(end.finish_reason, end.tokens) for end in read_trace(path).footer.ends] == [("cancelled", 2)]


def test_a_session_goes_on_after_an_interrupt():
    def fault(prefixes):
        raise KeyboardInterrupt

    adapter = after(2, fault)
    session = Session(adapter, seed=2)
    with pytest.raises(KeyboardInterrupt):
        session.generate([1], max_tokens=9)
    adapter.act = plain
    assert (
        session.generate([1], max_tokens=4).token_ids == Session(table(), seed=2).generate([1], max_tokens=4).token_ids
    )


# -- traces that cannot be written ------------------------------------------------------------------------------------


def test_a_trace_that_exists_is_not_overwritten_and_nothing_is_asked(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("dear diary")
    adapter = Around(table(), plain)
    with pytest.raises(TraceError, match="exists"):
        Session(adapter).generate([1], trace=path)
    assert adapter.asked == []
    assert path.read_text() == "dear diary"


def test_a_disk_that_fills_up_ends_the_run_with_everything_in_partial(tmp_path, monkeypatch):
    import errno
    import os

    from decodekit.trace import writer

    written = iter(range(10**9))

    def write(file, data):
        if next(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(file, data)

    class Disk:
        def __getattr__(self, name):
            return write if name == "write" else getattr(os, name)

    monkeypatch.setattr(writer, "os", Disk())
    with pytest.raises(TraceError, match="No space left") as caught:
        Session(table(), seed=2).generate([1], max_tokens=9, trace=tmp_path / "run.jsonl")
    assert len(caught.value.partial.token_ids) == 2


def test_an_overflow_answered_at_the_first_token_is_an_error_and_later_a_full_context():
    overflow = ContextOverflow("full")
    with pytest.raises(ContextOverflow):
        Session(after(0, lambda p: [overflow] * len(p))).generate([1])
    assert Session(after(1, lambda p: [overflow] * len(p))).generate([1]).finish_reason == "context"


def test_a_stop_that_is_no_text_is_a_typed_error() -> None:
    with pytest.raises(ParameterError, match="stop takes"):
        Session(table()).generate([0], stop=None)  # type: ignore[arg-type]
