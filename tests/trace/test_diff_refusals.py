"""What cannot be compared is a typed error, and every trace that can be read can be compared with every other."""

from __future__ import annotations

import json
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit.testing import PiecesTokenizer, TableAdapter
from decodekit.trace.parquet import write_parquet
from tests.cli.toy_adapters import HOSTILE

from .diff_pairs import SAME, run
from .forging import dump, load

CONFORMANCE = Path(__file__).with_name("conformance")


def test_two_runs_in_one_file_are_refused(tmp_path: Path) -> None:
    a, path = SAME(tmp_path / "a.jsonl"), tmp_path / "two.jsonl"
    data = (tmp_path / "a.jsonl").read_bytes()
    path.write_bytes(data + data)
    with pytest.raises(decodekit.TraceError, match="more lines after its footer"):
        decodekit.diff(a, path)
    path.write_bytes(b"".join(data.splitlines(keepends=True)[:5]) + data)
    with pytest.raises(decodekit.TraceError, match="one was changed"):
        decodekit.diff(a, path)


def test_steps_of_two_runs_under_one_chain_of_digests_are_refused(tmp_path: Path) -> None:
    a = SAME(tmp_path / "a.jsonl")
    lines = load(tmp_path / "a.jsonl")
    mixed = dump([*lines[:4], *lines[1:3]], tmp_path / "mixed.jsonl")
    with pytest.raises(decodekit.TraceError, match=r"the second trace has step 0 of stream 0 in place 3; .*two runs"):
        decodekit.diff(a, mixed)
    for line in lines[1:-1]:
        line["content"]["stream"] = 9
    stray = dump(lines[:-1], tmp_path / "stray.jsonl")
    with pytest.raises(decodekit.TraceError, match="the first trace has a step of stream 9"):
        decodekit.diff(stray, a)


@pytest.mark.parametrize(
    "content", [b"", b"no trace\n", b'{"kind":"header","content":{"format":"decodekit-trace/9"}}\n']
)
def test_what_is_no_trace_is_refused(content: bytes, tmp_path: Path) -> None:
    a, path = SAME(tmp_path / "a.jsonl"), tmp_path / "b.jsonl"
    path.write_bytes(content)
    with pytest.raises(decodekit.TraceError, match=r"b\.jsonl"):
        decodekit.diff(a, path)


def test_a_table_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    a = SAME(tmp_path / "a.jsonl")
    write_parquet(a, tmp_path / "a.parquet")
    with pytest.raises(decodekit.TraceError, match="it is a Parquet table"):
        decodekit.diff(a, tmp_path / "a.parquet")


def test_a_run_of_which_nothing_is_kept_is_refused(tmp_path: Path) -> None:
    a = SAME(tmp_path / "a.jsonl")
    session = decodekit.Session(TableAdapter({(): [0.0, 1.0]}, 2), decodekit.Chain([]), seed=1)
    nothing = session.generate([1], max_tokens=3, level="none").trace
    with pytest.raises(decodekit.TraceError, match="the second run was made with level 'none'"):
        decodekit.diff(a, nothing)
    a.steps.clear()
    with pytest.raises(decodekit.TraceError, match="the first trace: the footer counts 12 tokens"):
        decodekit.diff(a, tmp_path / "a.jsonl")
    for wrong in (7, None, [a]):
        with pytest.raises(decodekit.TraceError, match="path of its file"):
            decodekit.diff(wrong, a)  # type: ignore[arg-type]


def test_every_trace_can_be_compared_with_every_other() -> None:
    """Also forged ones; and those of other models, other samplers and other levels."""
    traces = {}
    for path in sorted(CONFORMANCE.glob("*.jsonl")):
        try:
            traces[path.stem] = decodekit.read_trace(path)
        except decodekit.TraceError:
            continue
    assert len(traces) > 30
    names = list(traces)
    for name, other in [*pairwise(names), *(("top_p", each) for each in names), ("floor", "heads")]:
        try:
            found = decodekit.diff(traces[name], traces[other])
        except decodekit.TraceError:
            continue
        assert found.equal == (found.cause == "none") and found.why
        text = str(found) + json.dumps(found.to_dict(), allow_nan=False)
        assert text.isprintable() or not any(unicodedata.category(c) == "Cc" and c != "\n" for c in text)


def test_texts_of_a_model_are_made_safe(tmp_path: Path) -> None:
    tokenizer = PiecesTokenizer(HOSTILE)
    made = []
    for seed in (1, 2):
        adapter = TableAdapter(
            lambda ids, seed=seed: np.random.default_rng([seed, *ids]).normal(0, 2, len(HOSTILE)), len(HOSTILE),
            tokenizer=tokenizer,
        )  # fmt: skip
        made.append(run(adapter, prompts=[[1]], stop=["\x1b[31m" * seed])(tmp_path / f"{seed}.jsonl"))
    found = decodekit.diff(*made)
    assert not found.equal
    assert all(line.isprintable() for line in found.lines(everything=True))
