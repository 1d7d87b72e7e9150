"""A trace that was cut, flipped or filled up: every case ends in a clear word, never in a wrong one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit.testing import NGramAdapter
from decodekit.trace.writer import TraceWriter

from .conftest import TEXT, chain


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "run.jsonl"
    decodekit.Session(NGramAdapter(TEXT), chain("truncated"), seed=7).generate("the ", max_tokens=3, trace=path)
    return path.read_bytes()


def test_cut_at_any_byte_it_is_torn_incomplete_or_no_trace_and_what_is_whole_stays_proved(
    tmp_path: Path, whole: bytes
) -> None:
    header = whole.index(b"\n") + 1
    path = tmp_path / "cut.jsonl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length < header:
            with pytest.raises(decodekit.TraceError):
                decodekit.verify(path)
            continue
        verdict = decodekit.verify(path)
        steps = whole[:length].count(b"\n") - 1
        assert verdict.word == "incomplete", length
        assert verdict.counts == ({"proved": steps} if steps else {}), length
        if whole[length - 1 : length] == b"\n":
            assert decodekit.read_trace(path).footer is None
        else:
            with pytest.raises(decodekit.TraceError, match="incomplete"):
                decodekit.read_trace(path)


@pytest.mark.parametrize("every", [37, pytest.param(1, marks=pytest.mark.slow)])
def test_recovery_keeps_every_whole_line_and_says_that_it_cut(tmp_path: Path, whole: bytes, every: int) -> None:
    path, target = tmp_path / "cut.jsonl", tmp_path / "recovered.jsonl"
    header = whole.index(b"\n") + 1
    for length in range(header, len(whole), every):
        path.write_bytes(whole[:length])
        target.unlink(missing_ok=True)
        trace = decodekit.recover(path, target)
        assert path.read_bytes() == whole[:length]
        assert len(trace.steps) == whole[:length].count(b"\n") - 1
        assert json.loads(target.read_bytes().splitlines()[-1])["kind"] == "recovered"
        assert decodekit.verify(target).word == "incomplete"
    path.write_bytes(whole)
    with pytest.raises(decodekit.TraceError, match="nothing to recover"):
        decodekit.recover(path, tmp_path / "other.jsonl")


@settings(max_examples=400)
@given(data=st.data())
def test_any_flipped_bit_in_any_field_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.jsonl"
    path.write_bytes(flipped)
    try:
        verdict = decodekit.verify(path)
    except decodekit.TraceError:
        return  # the header is gone
    assert verdict.word in ("failed", "incomplete"), (at, verdict)


def test_a_flip_names_the_step_it_is_in(tmp_path: Path, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"text":"', b'"text":"x')  # step 1
    path = tmp_path / "flipped.jsonl"
    path.write_bytes(b"".join(lines))
    verdict = decodekit.verify(path)
    assert (verdict.word, verdict.step) == ("failed", 1)


def test_lines_swapped_dropped_or_repeated_are_noticed(tmp_path: Path, whole: bytes) -> None:
    header, *steps, footer = whole.splitlines(keepends=True)
    for order in ([1, 0, 2], [0, 2], [0, 0, 1, 2], [1, 2]):
        path = tmp_path / "reordered.jsonl"
        path.write_bytes(b"".join([header, *(steps[i] for i in order), footer]))
        assert decodekit.verify(path).word == "failed"
    path.write_bytes(whole + steps[0])
    assert decodekit.verify(path).word == "failed"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"hello\n", b"[]\n", b"{}\n", b"\x00" * 64, b'{"kind":"header"}\n', b"[" * 100_000 + b"\n",
     b'{"kind":"header","content":{"format":"decodekit-trace/99"}}\n'],
)  # fmt: skip
def test_a_file_that_is_no_trace_is_one_typed_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no-trace"
    path.write_bytes(content)
    with pytest.raises(decodekit.TraceError):
        decodekit.read_trace(path)
    with pytest.raises(decodekit.TraceError):
        decodekit.verify(path)


def test_a_missing_file_is_one_typed_error(tmp_path: Path) -> None:
    with pytest.raises(decodekit.TraceError, match="No such file"):
        decodekit.verify(tmp_path / "nowhere.jsonl")


def test_well_chained_nonsense_is_refused_by_its_fields(tmp_path: Path, whole: bytes) -> None:
    # Someone rewrote the file with a sound chain: every field still has to make sense.
    from decodekit.trace.codec import digest

    header, step, *_ = whole.splitlines()
    changes: list[tuple[str, object]] = [
        ("token", -1), ("token", "7"), ("step", 1.5), ("raw", None), ("entries", [{}]), ("choice", {}),
        ("final", {"token_ids": [1, 1], "scores": [0.0, 0.0], "floor": None}),
        ("final", {"token_ids": [1], "scores": [0.0, 0.0], "floor": None}),
        ("final", {"token_ids": [], "scores": [], "floor": None}),
        ("final", {"token_ids": [1], "scores": ["nan"], "floor": None}),
        ("row", {"token_ids": None, "dtype": "object", "scores": ""}),
        ("row", {"token_ids": None, "dtype": "float32", "scores": "???"}),
        ("surprise", 1),
    ]  # fmt: skip
    for name, value in changes:
        data = json.loads(step)
        data["content"][name] = value
        data["prev"] = digest(header)
        path = tmp_path / "nonsense.jsonl"
        path.write_bytes(header + b"\n" + json.dumps(data, separators=(",", ":")).encode() + b"\n")
        assert decodekit.verify(path).word == "failed", name


def test_a_full_disk_ends_the_run_with_everything_before_it_on_disk_and_in_hand(tmp_path: Path) -> None:
    # A size limit on files stands for the full disk: the write that crosses it is short, the next one fails.
    code = f"""
import resource, signal, sys, decodekit
from decodekit.testing import NGramAdapter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
session = decodekit.Session(NGramAdapter({TEXT!r}), seed=7)
try:
    session.generate("the ", max_tokens=200, trace=sys.argv[1])
except decodekit.TraceError as error:
    print(error.step, len(error.partial.token_ids), error.partial.finish_reason, "recover" in str(error))
"""
    path = tmp_path / "run.jsonl"
    done = subprocess.run([sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, check=True)
    steps, tokens, reason, advised = done.stdout.split()
    assert (reason, advised) == ("error", "True")
    assert int(tokens) >= int(steps) > 0
    trace = decodekit.recover(path, tmp_path / "recovered.jsonl")
    assert len(trace.steps) == int(steps)


@pytest.mark.parametrize("failing", range(1, 6))
@pytest.mark.parametrize("transient", [True, False])
def test_the_nth_write_may_fail_and_nothing_handed_out_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, transient: bool
) -> None:
    real, calls = os.write, 0

    def faulty(file: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == failing or (calls > failing and not transient):
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr("decodekit.trace.writer.os.write", faulty)
    path = tmp_path / "run.jsonl"
    handed_out = []
    with pytest.raises(decodekit.TraceError, match="No space left"):  # noqa: PT012 - the steps before it count
        for step in decodekit.Session(NGramAdapter(TEXT), seed=7).stream("the ", max_tokens=3, trace=path):
            handed_out.append(step.token_id)  # noqa: PERF401 - what came before the error is the point
    monkeypatch.undo()
    if failing == 1:
        assert handed_out == []
        return
    trace = decodekit.read_trace(path)
    assert trace.footer is None
    assert trace.token_ids() == handed_out


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("decodekit.trace.writer.os.write", lambda file, data: real(file, data[:7]))
    path = tmp_path / "run.jsonl"
    decodekit.Session(NGramAdapter(TEXT), seed=7).generate("the ", max_tokens=3, trace=path)
    assert decodekit.verify(path).word == "proved"


@pytest.mark.parametrize("times", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_process_loses_no_token_it_has_handed_out(tmp_path: Path, times: int) -> None:
    command = [sys.executable, str(Path(__file__).with_name("killed_runs.py")), str(tmp_path), str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == times
    for returned, kept, same, word in lines:
        assert same == "True" and word == "incomplete"
        assert 0 <= int(kept) - int(returned) <= 1  # at most the step that was written and not yet returned


def test_a_writer_can_wait_for_the_disk_after_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("decodekit.trace.writer.os.fsync", synced.append)
    (tmp_path / "source").write_bytes(whole)
    trace = decodekit.read_trace(tmp_path / "source")
    with TraceWriter(tmp_path / "copy", trace.header, fsync=True) as writer:
        for step in trace.steps:
            writer.write(step)
        footer = writer.close(trace.footer.ends if trace.footer else [])
    assert len(synced) == 2 + len(trace.steps)
    assert footer == trace.footer  # the same contents, whoever wrote them
    assert decodekit.verify(tmp_path / "copy").word == "proved"


@pytest.mark.parametrize("size", [8, 30, 300, -1])
def test_a_torn_header_is_told_in_words(written: Path, tmp_path: Path, size: int) -> None:
    written.write_bytes(written.read_bytes().splitlines()[0][:size])
    with pytest.raises(decodekit.TraceError, match=r"header of .* is incomplete; no step was written"):
        decodekit.recover(written, tmp_path / "recovered.jsonl")
    written.write_bytes(b"dear diary\n")
    with pytest.raises(decodekit.TraceError, match=r"is not a decodekit trace: its first line is not JSON$"):
        decodekit.recover(written, tmp_path / "recovered.jsonl")
