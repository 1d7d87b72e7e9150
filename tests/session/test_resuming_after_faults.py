"""Whatever broke a run off, it is resumed."""

from __future__ import annotations

from typing import Any

import pytest

import decodekit
from decodekit import (
    Chain,
    ProviderError,
    Session,
    TraceError,
    read_trace,
    resume,
    verify,
)
from decodekit.testing import BytesTokenizer
from tests.session.conftest import Around, plain, table
from tests.session.cutting import LENGTH, MODEL, PARTS, Cut, build
from tests.session.test_faults import FAULTS, after


@pytest.mark.parametrize(("fault", "kind", "why"), FAULTS)
def test_the_partial_of_any_error_goes_on(tmp_path, fault, kind, why):
    cut = Cut(tmp_path, build([("mirostat_v2", {"mirostat_v2": 3.0})]), table(), [1])
    path = tmp_path / "broken"
    with pytest.raises(kind, match=why) as caught:
        Session(after(3, fault), cut.session.chain, seed=5, top_logprobs=3).generate([1], max_tokens=LENGTH, trace=path)
    partial = caught.value.partial
    assert isinstance(partial, decodekit.Result)
    assert partial.token_ids == cut.whole.token_ids[:3]
    cut.check(partial.trace)
    cut.check(path)


@pytest.mark.parametrize("reason", ["deadline", "cancelled"])
def test_a_run_that_was_ended_from_outside_goes_on(tmp_path, reason):
    cut = Cut(tmp_path, build(PARTS[:1]))
    path = tmp_path / "ended"
    call: dict[str, Any] = {"max_tokens": LENGTH, "trace": path}
    if reason == "deadline":
        cut.session.generate("the ", deadline=0, **call)
    else:
        steps = cut.session.stream("the ", **call)
        next(steps)
        steps.close()
    assert [end.finish_reason for end in read_trace(path).footer.ends] == [reason]
    cut.check(path)


def test_a_full_disk_leaves_text_and_ids_that_agree_and_goes_on(tmp_path, monkeypatch):
    import os

    from decodekit.trace import writer

    cut = Cut(tmp_path, Chain())
    written, full_at = iter(range(10**9)), 4

    def write(file: int, data: bytes) -> int:
        if next(written) == full_at:
            raise OSError(28, "No space left on device")
        return os.write(file, data)

    class Disk:
        def __getattr__(self, name: str) -> Any:
            return write if name == "write" else getattr(os, name)

    monkeypatch.setattr(writer, "os", Disk())
    for ban in ([], ["zzz"]):
        written = iter(range(10**9))
        path = tmp_path / f"broken{len(ban)}"
        with pytest.raises(TraceError, match="No space left") as caught:
            cut.session.generate("the ", max_tokens=LENGTH, trace=path, ban=ban)
        partial = caught.value.partial
        assert isinstance(partial, decodekit.Result)
        assert partial.token_ids == cut.whole.token_ids[:3]
        assert partial.text == BytesTokenizer().decode(partial.token_ids).decode()
    cut.check(tmp_path / "broken0")
    written, full_at = iter(range(10**9)), LENGTH
    with pytest.raises(TraceError, match="No space left") as caught:
        cut.session.generate("the ", until=lambda step: step.index == LENGTH - 1, trace=tmp_path / "last")
    partial = caught.value.partial
    assert isinstance(partial, decodekit.Result)
    assert (len(partial.token_ids), partial.finish_reason) == (LENGTH - 1, "error")
    full_at = -1
    assert resume(partial.trace, MODEL, max_tokens=LENGTH)[0].token_ids == cut.whole.token_ids


@pytest.mark.parametrize("calls", range(0, 20, 3))
def test_each_sequence_of_a_batch_that_is_not_at_its_end_goes_on(tmp_path, calls):
    chain = build([("adaptive_p", {"adaptive_p": 0.3})])
    prompts, call = ["the ", "a", "dog "], {"n": 2, "max_tokens": 9, "seed": 8, "stop": ["at"]}
    whole = Session(Around(MODEL, plain, concurrency=2), chain).generate_many(prompts, **call)
    left = iter(range(10**9))

    def act(inner, prefixes, wanted):
        if next(left) >= calls:
            raise ProviderError("the server is gone")
        return inner.predict(prefixes, wanted)

    path = tmp_path / "broken"
    with pytest.raises(ProviderError) as caught:
        Session(Around(MODEL, act, concurrency=2), chain).generate_many(prompts, **call, trace=path)
    partial = caught.value.partial
    assert isinstance(partial, list)
    asked = Around(MODEL, plain)
    results = resume(path, asked, trace=tmp_path / "again")
    flat = [result for row in whole for result in row]
    assert [(r.stream, r.token_ids, r.text, r.finish_reason) for r in results] == [
        (r.stream, r.token_ids, r.text, r.finish_reason) for r in flat
    ]
    new = sum(len(prefixes) for prefixes, _ in asked.asked)
    assert new == sum(len(r.token_ids) for r in flat) - sum(len(r.token_ids) for r in partial)
    assert verify(tmp_path / "again").word == "proved"
    for stream in {r.stream for r in flat}:
        one, other = ([step for step in run.trace.steps if step.stream == stream] for run in (flat[0], results[0]))
        assert [(s.choice, s.raw, s.entries, s.text) for s in one] == [
            (s.choice, s.raw, s.entries, s.text) for s in other
        ]
