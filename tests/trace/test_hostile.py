"""Files and texts that nobody means well with: each is one typed error, in little time and memory."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import decodekit
from decodekit import TraceError
from decodekit.testing import NGramAdapter
from decodekit.trace import TraceWriter
from decodekit.trace.codec import digest, to_line
from decodekit.trace.evidence import Evidence
from decodekit.trace.new_file import write_new
from decodekit.trace.parsing import parse_step

from .conftest import TEXT, chain
from .forging import dump, load

ADAPTER = NGramAdapter(TEXT)
PART: dict[str, Any] = {"name": "x", "distribution": "decodekit", "version": "", "params": {}}
ADAPTER_DATA = {"name": "a", "model": "b"}


@pytest.mark.parametrize(
    "change",
    [
        {"adapter": {**ADAPTER_DATA, "x": math.nan}},
        {"adapter": {**ADAPTER_DATA, "x": math.inf}},
        {"adapter": {**ADAPTER_DATA, "x": "\ud800"}},
        {"adapter": {**ADAPTER_DATA, "\ud800": 1}},
        {"adapter": {**ADAPTER_DATA, "vocab_size": "257"}},
        {"adapter": {**ADAPTER_DATA, "vocab_size": 0}},
        {"adapter": {"x": 1}},
        {"config": {"x": [math.nan]}},
        {"chain": {"processors": [], "sampler": []}},
        {"chain": {"processors": [], "sampler": {**PART, "name": []}}},
        {"chain": {"processors": {}, "sampler": PART}},
        {"chain": {"processors": [{**PART, "params": []}], "sampler": PART}},
        {"chain": {"sampler": PART}},
        {"stop": {"max_tokens": 9, "strings": [], "ids": [], "ban": 5}},
        {"stop": {"max_tokens": 9, "strings": [""], "ids": []}},
        {"stop": {"max_tokens": 10**30, "strings": [], "ids": []}},
        {"stop": {"max_tokens": 9, "strings": [], "ids": [-1]}},
        {"prompts": [[2**63]]},
        {"prompts": [[]]},
        {"prompts": [[True]]},
        {"sequences": [[0, 1]]},
        {"sequences": [[0, 0], [0, 0]]},
        {"sequences": [[2**64, 0]]},
        {"seed": -1},
        {"seed": 2**64},
        {"level": "all"},
        {"top_logprobs": -1},
        {"on_undisclosed": "ask"},
        {"metadata": [1]},
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_a_trace_error_whatever_is_done(tmp_path: Path, change: dict[str, Any]) -> None:
    whole = tmp_path / "whole.jsonl"
    decodekit.Session(ADAPTER, chain("truncated"), seed=7).generate("the ", max_tokens=1, trace=whole)
    header, step = load(whole)[:2]
    first = json.dumps({**header, "content": {**header["content"], **change}}).encode()
    path = tmp_path / "odd.jsonl"
    path.write_bytes(first + b"\n" + to_line({**step, "prev": digest(first)}) + b"\n")
    for call in (
        decodekit.read_trace,
        decodekit.verify,
        lambda path: decodekit.verify(path, chain=True),
        decodekit.replay,
        lambda path: decodekit.replay(path, adapter=ADAPTER),
        lambda path: decodekit.resume(path, ADAPTER),
        lambda path: decodekit.recover(path, tmp_path / "recovered.jsonl"),
    ):
        with pytest.raises(TraceError):
            call(path)  # type: ignore[operator]


@pytest.mark.parametrize("line", [2, 1, 0], ids=["a line after the footer", "a step", "the header"])
@pytest.mark.parametrize("unit", [b"[],", b"{},", b'"",', b"0,"])
def test_a_huge_line_costs_little_more_than_its_bytes(tmp_path: Path, line: int, unit: bytes) -> None:
    """The child says how much memory it took above the file; 5 GiB once."""
    path = tmp_path / "run.jsonl"
    decodekit.Session(ADAPTER, chain("truncated"), seed=7).generate("the ", max_tokens=1, trace=path)
    lines = path.read_bytes().split(b"\n")[:-1]
    body = unit * (12 * 2**20 // len(unit))
    lines[line:] = [lines[line].replace(b'"content":{', b'"content":{"asked":[' + body + b"0],", 1)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    code = """
import resource, sys, decodekit
decodekit.read_trace(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decodekit.read_trace(sys.argv[2])
except decodekit.TraceError as error:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    good = tmp_path / "good.jsonl"
    decodekit.Session(ADAPTER, seed=7).generate("the ", max_tokens=1, trace=good)
    done = subprocess.run([sys.executable, "-c", code, good, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 64 + 3 * path.stat().st_size / 2**20  # MiB; a line is copied as it is taken apart


@pytest.mark.parametrize(
    "place", [b'"asked":[%s]', b'"final":{"token_ids":[%s]}', b'"entries":[{"top":[%s]}]', b'"raw":{"top":[%s]}']
)
def test_a_list_is_read_up_to_its_first_item_that_does_not_fit(place: bytes) -> None:
    """Each error costs a kilobyte; there would be one for each item."""
    content = place % b",".join([b'"x"'] * 10_000)
    with pytest.raises(ValidationError) as caught:
        parse_step(b'{"kind":"step","prev":"","content":{%s}}' % content)
    assert caught.value.error_count() < 40


def test_a_line_longer_than_any_is_not_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Path) -> None:
    monkeypatch.setattr("decodekit.trace.codec.LONGEST_LINE", 4000)
    monkeypatch.setattr("decodekit.trace.reader.LONGEST_LINE", 4000)
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:3]) + b"x" * 5000)
    with pytest.raises(TraceError, match="longer than"):
        decodekit.recover(written, tmp_path / "recovered.jsonl")


def test_a_huge_vocabulary_in_a_header_does_not_make_a_step_slow_to_check(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    session = decodekit.Session(ADAPTER, decodekit.Chain(), seed=7)
    session.generate("the ", max_tokens=2, trace=path)
    lines = load(path)
    lines[0]["content"]["adapter"]["vocab_size"] = 2**40  # its noise alone would take 8 TiB
    verdict = decodekit.verify(dump(lines, path))
    assert verdict.word == "consistent"
    assert "vocabulary of more than" in verdict.why


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        for call in (decodekit.read_trace, decodekit.verify):
            with pytest.raises(TraceError, match=r"regular file|Is a directory"):
                call(path)


def test_a_name_with_a_zero_byte_is_a_trace_error(tmp_path: Path, written: Path) -> None:
    name = str(tmp_path / "a\0b")
    header = decodekit.read_trace(written).header
    written.write_bytes(b"".join(written.read_bytes().splitlines(keepends=True)[:-1]))
    for call in (
        lambda: decodekit.verify(name),
        lambda: decodekit.recover(written, name),
        lambda: decodekit.recover(name, tmp_path / "b"),
        lambda: TraceWriter(name, header),
    ):
        with pytest.raises(TraceError, match="null"):
            call()


def test_recover_on_a_full_disk_leaves_nothing(tmp_path: Path, written: Path) -> None:
    written.write_bytes(b"".join(written.read_bytes().splitlines(keepends=True)[:-1]))
    code = """
import resource, signal, sys, decodekit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    decodekit.recover(sys.argv[1], sys.argv[2])
except decodekit.TraceError as error:
    print(error)
"""
    target = tmp_path / "out" / "recovered.jsonl"
    target.parent.mkdir()
    done = subprocess.run([sys.executable, "-c", code, written, target], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert list(target.parent.iterdir()) == []
    decodekit.recover(written, target)
    assert [path.name for path in target.parent.iterdir()] == ["recovered.jsonl"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_new_file_takes_no_other_files_place(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("dear diary")
    with pytest.raises(TraceError, match="exists"):
        write_new(tmp_path / "taken", b"x")
    assert (tmp_path / "taken").read_text() == "dear diary"
    with pytest.raises(TraceError, match="cannot write"):
        write_new(tmp_path / "nowhere" / "x", b"x")


def test_the_words_of_an_error_are_written_whatever_they_are(tmp_path: Path) -> None:
    def fails(dist: decodekit.Distribution, ctx: decodekit.Context) -> decodekit.Distribution:
        raise RuntimeError("cannot read \udcff.txt")  # as OSError names a file

    path = tmp_path / "run.jsonl"
    with pytest.raises(decodekit.PluginError, match="cannot read"):
        decodekit.Session(ADAPTER, decodekit.Chain([fails]), seed=1).generate("a", trace=path)
    footer = decodekit.read_trace(path).footer
    assert footer is not None
    assert "\\udcff.txt" in str(footer.ends[0].error)


def test_a_header_that_cannot_be_written_leaves_no_file(tmp_path: Path, written: Path) -> None:
    header = decodekit.read_trace(written).header
    header.chain["sampler"]["params"]["x"] = object()
    with pytest.raises(TraceError, match="cannot hold"):
        TraceWriter(tmp_path / "new.jsonl", header)
    assert not (tmp_path / "new.jsonl").exists()


def test_texts_that_are_no_unicode_are_written_escaped(tmp_path: Path, written: Path) -> None:
    header = decodekit.read_trace(written).header
    odd = replace(header, metadata=["\udcff"], config={"\udcff": ["\udcff", 1, None]})
    TraceWriter(tmp_path / "odd.jsonl", odd).abandon()
    read = decodekit.read_trace(tmp_path / "odd.jsonl").header
    assert (read.metadata, read.config) == (["\\udcff"], {"\\udcff": ["\\udcff", 1, None]})


def test_a_step_that_no_reader_takes_is_not_written(tmp_path: Path, written: Path) -> None:
    trace = decodekit.read_trace(written)
    many = np.arange(300_000)
    step = replace(trace.steps[0], evidence=Evidence(many, np.zeros(300_000), None))
    with TraceWriter(tmp_path / "new.jsonl", trace.header) as writer:
        with pytest.raises(TraceError, match="Truncate"):
            writer.write(step)
        writer.write(trace.steps[0])  # nothing was written of the other
    assert decodekit.verify(tmp_path / "new.jsonl").counts == {"proved": 1}
