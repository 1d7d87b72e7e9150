"""Files and texts that nobody means well with: each is one typed error, in little time and memory."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import decodekit
from decodekit import TraceError
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.text.json_weight import json_weight
from decodekit.trace import TraceWriter
from decodekit.trace.codec import LONGEST_LINE, MOST_OBJECTS, digest, to_line
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
        {"adapter": {**ADAPTER_DATA, "deterministic": 1}},
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


MEASURE = """
import os, sys, decodekit

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

def read(path):
    try:
        decodekit.read_trace(path)
    except decodekit.TraceError:
        pass

read(sys.argv[1])
for path in sys.stdin:
    if os.fork() == 0:  # a new process, whose peak begins where it is now
        before = peak()
        read(path.strip())
        print(peak() - before, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def memory_above(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], int]]:
    """The bytes that a process takes at most to read a trace. Not by ru_maxrss: a process inherits it."""
    good = tmp_path_factory.mktemp("memory") / "good.jsonl"
    decodekit.Session(ADAPTER, seed=7).generate("the ", max_tokens=1, trace=good)
    with subprocess.Popen(
        [sys.executable, "-c", MEASURE, good], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        stdin, stdout = child.stdin, child.stdout

        def measure(path: Path) -> int:
            print(path, file=stdin, flush=True)
            return 1024 * int(stdout.readline())

        yield measure
        stdin.close()


def _units(unit: bytes) -> Callable[[int], bytes]:
    return lambda size: b"[" + unit * (size // len(unit)) + b"0]"


def _keys(size: int) -> bytes:
    return b"{" + b",".join(b'"%x":0' % i for i in range(size // 10)) + b"}"


SHAPES: dict[str, Callable[[int], bytes]] = {
    "empty lists": _units(b"[],"),
    "lists": _units(b"[9999],"),
    "empty objects": _units(b"{},"),
    "objects": _units(b'{"a":0},'),
    "nested lists": _units(b"[" * 100 + b"]" * 100 + b","),
    "small numbers": _units(b"0,"),
    "ids": _units(b"99999,"),
    "huge numbers": _units(b"99999999999999999999,"),
    "floats": _units(b"1.2345678901234567,"),
    "texts": _units(b'"%s\xf0\x9f\x98\x80",' % (b"a" * 90)),
    "one text": lambda size: b'"%s"' % (b"a" * size),
    "one wide text": lambda size: b'"%s\xf0\x9f\x98\x80"' % (b"1" * size),
    "escapes": lambda size: b'"%s\\ud83d\\ude00"' % (b"\\n" * (size // 2)),
    "keys": _keys,
    "one number": lambda size: b"1" * size,
    "too deep": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
}


def _heaviest(shape: Callable[[int], bytes]) -> bytes:
    """The largest of this shape that a reader parses."""
    small = shape(100_000)
    size = min(LONGEST_LINE - 4000, int(100_000 * (MOST_OBJECTS - 60_000) / max(json_weight(small), 1)))
    value = shape(size)
    assert json_weight(value) < MOST_OBJECTS - 4000
    return value


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak memory from /proc")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_hostile_line_takes_little_memory_above_its_bytes(
    written: Path, shape: str, memory_above: Callable[[Path], int]
) -> None:
    """At most 64 MiB, in a header, a step or a footer; 1,000 MiB once."""
    lines = written.read_bytes().split(b"\n")[:-1]
    del lines[2:-1]
    value = _heaviest(SHAPES[shape])
    for place, (at, line) in {
        "config": (0, lines[0].replace(b'"config":null', b'"config":{"x":' + value + b"}")),
        "prompts": (0, lines[0].replace(b'"prompts":[[', b'"prompts":[' + value + b",[")),
        "text": (1, lines[1].replace(b'"text":"', b'"text":' + value + b',"text":"')),
        "footer": (2, lines[2].replace(b'"content":{', b'"content":{"x":' + value + b",")),
    }.items():
        assert line not in lines
        written.write_bytes(b"\n".join([*lines[:at], line, *lines[at + 1 :]]) + b"\n")
        assert memory_above(written) < 64 * 2**20 + written.stat().st_size, place


def test_a_shape_that_weighs_more_is_refused_before_it_is_parsed(tmp_path: Path, written: Path) -> None:
    lines = written.read_bytes().split(b"\n")
    for body in (b"[]," * 10**6, b'{"a":0},' * 300_000, b"0," * 1_200_000):
        line = lines[1].replace(b'"content":{', b'"content":{"asked":[' + body + b"0],")
        written.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
        with pytest.raises(TraceError, match="would take more than 40 MiB"):
            decodekit.read_trace(written)


def test_a_step_with_all_of_a_large_vocabulary_is_read(tmp_path: Path) -> None:
    size, path = 262_144, tmp_path / "run.jsonl"
    row = np.random.default_rng(0).normal(-20, 5, size)
    session = decodekit.Session(TableAdapter({(): row}, size), decodekit.Chain(), seed=1)
    trace = session.generate([0], max_tokens=1, level="full", trace=path).trace
    step = replace(trace.steps[0], text="\U0001f600 \\", evidence=Evidence(np.arange(size), row, None))
    with TraceWriter(tmp_path / "wide.jsonl", trace.header) as writer:
        writer.write(step)
    read = decodekit.read_trace(tmp_path / "wide.jsonl").steps[0]
    assert read.evidence is not None and read.evidence.scores.tobytes() == row.tobytes()
    assert read.row is not None and read.row[1].tobytes() == row.tobytes()


def test_a_header_with_a_million_prompt_tokens_is_read(tmp_path: Path, written: Path) -> None:
    header = replace(decodekit.read_trace(written).header, prompts=[list(range(100_000, 101_000))] * 1000)
    TraceWriter(tmp_path / "long.jsonl", header).abandon()
    assert decodekit.read_trace(tmp_path / "long.jsonl").header == header
    with pytest.raises(TraceError, match="Split the call"):
        TraceWriter(tmp_path / "longer.jsonl", replace(header, prompts=header.prompts * 2))


@pytest.mark.parametrize(
    "place", [b'"asked":[%s]', b'"final":{"token_ids":[%s]}', b'"entries":[{"top":[%s]}]', b'"raw":{"top":[%s]}']
)
def test_a_list_is_read_up_to_its_first_item_that_does_not_fit(place: bytes) -> None:
    """Each error costs a kilobyte; there would be one for each item."""
    content = place % b",".join([b'"x"'] * 10_000)
    with pytest.raises(ValueError, match="is missing") as caught:
        parse_step(b'{"kind":"step","prev":"","content":{%s}}' % content)
    assert isinstance(caught.value.__cause__, ValidationError)
    assert caught.value.__cause__.error_count() < 40


def test_a_line_longer_than_any_is_not_torn(tmp_path: Path, written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:3]) + b"x" * (LONGEST_LINE + 1))
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
    many = np.arange(700_000)
    step = replace(trace.steps[0], evidence=Evidence(many, np.zeros(700_000), None))
    with TraceWriter(tmp_path / "new.jsonl", trace.header) as writer:
        with pytest.raises(TraceError, match="Truncate"):
            writer.write(step)
        writer.write(trace.steps[0])  # nothing was written of the other
    assert decodekit.verify(tmp_path / "new.jsonl").counts == {"proved": 1}
