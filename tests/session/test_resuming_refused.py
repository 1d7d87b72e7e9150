"""What a trace cannot give back is given again, or is a typed error."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

import decodekit
from decodekit import (
    AdapterError,
    Chain,
    ConfigError,
    Disclosure,
    ParameterError,
    Plugin,
    Session,
    TraceError,
    UnknownPlugin,
    read_trace,
    resume,
)
from decodekit.testing import NGramAdapter, TableAdapter
from tests.session.conftest import Around
from tests.session.cutting import MODEL, PARTS, Cut, build


class Surprised(Plugin):
    """Remembers the entropy that it met, or what no record but the whole row has."""

    surprised: str = "entropy"
    looks_back: ClassVar[bool] = True

    def initial(self, ctx: decodekit.Context) -> float:
        return 1.0

    def __call__(self, dist: decodekit.Distribution, ctx: decodekit.Context, state: float) -> decodekit.Distribution:
        return dist.scaled(min(max(state, 0.2), 2.0))

    def advance(self, state: float, choice: Any, ctx: decodekit.Context, before: decodekit.Distribution) -> float:
        return before.entropy if self.surprised == "entropy" else before.logprob(32) / -4


class Counting:
    """A foreign callable with a memory of its own."""

    pure = False
    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, dist: decodekit.Distribution, ctx: decodekit.Context) -> decodekit.Distribution:
        self.calls += 1
        return dist.scaled(1 + self.calls / 10)


def test_parts_of_this_process_are_named_until_the_chain_is_given(tmp_path):
    for what in ("entropy", "logprob"):
        folder = tmp_path / what
        folder.mkdir()
        chain = Chain([decodekit.processor("temperature", temperature=1.5), Surprised(surprised=what)])
        cut = Cut(folder, chain)
        with pytest.raises(UnknownPlugin, match="Surprised"):
            resume(cut.killed(5), MODEL)
        if what == "entropy":
            cut.check(cut.killed(5), chain=chain)
            continue
        with pytest.raises(
            TraceError, match=r"state of 'Surprised' depends on the log-probability of another.*level 'full'"
        ):
            cut.check(cut.killed(5), chain=chain)
        assert not (folder / "again").exists()
        (folder / "whole").unlink()
        cut = Cut(folder, chain, level="full")
        cut.check(cut.killed(5), chain=chain)
    with pytest.raises(ConfigError, match="recorded one"):
        resume(cut.killed(5), MODEL, chain=Chain([Surprised()]))


def test_a_memory_of_its_own_is_rebuilt_from_rows_only(tmp_path):
    cut = Cut(tmp_path, Chain([Counting()]))
    with pytest.raises(TraceError, match="'counting' has hidden state"):
        resume(cut.killed(5), MODEL, chain=Chain([Counting()]))
    (tmp_path / "whole").unlink()
    cut = Cut(tmp_path, Chain([Counting()]), level="full")
    cut.check(cut.killed(5), chain=Chain([Counting()]))


def test_a_tail_that_was_given_up_is_known_from_rows_only(tmp_path):
    adapter = TableAdapter(lambda ids: np.random.default_rng([*ids]).normal(0, 3, 90), 90, most=Disclosure(20))
    for level in ("proof", "full"):
        path = tmp_path / level
        session = Session(adapter, build([PARTS[16]]), seed=5, on_undisclosed="truncate")
        whole = session.generate([3], max_tokens=9, level=level)
        session.generate([3], max_tokens=4, level=level, trace=path)
        if level == "proof":
            with pytest.raises(TraceError, match="state of 'adaptive_p' depends on logprob of step 0"):
                resume(path, adapter, max_tokens=9)
        else:
            assert resume(path, adapter, max_tokens=9)[0].token_ids == whole.token_ids


@pytest.mark.usefixtures("own_processors")
def test_metadata_is_given_again_or_missed(tmp_path):
    @decodekit.register_processor("only_vowels_if_told")
    def only_vowels_if_told(dist, ctx):
        return dist.keep(list(b"aeiou")) if ctx.metadata["vowels"] else dist

    session = Session(MODEL, build([("only_vowels_if_told", {})]), seed=1, metadata={"vowels": True})
    whole = session.generate("the ", max_tokens=9)
    session.generate("the ", max_tokens=3, trace=tmp_path / "part")
    with pytest.raises(ParameterError, match="vowels"):
        resume(tmp_path / "part", MODEL)
    (result,) = resume(tmp_path / "part", MODEL, metadata={"vowels": True}, max_tokens=9)
    assert result.token_ids == whole.token_ids


def test_another_model_is_logged_and_recorded(tmp_path, caplog):
    cut = Cut(tmp_path, Chain())
    other = NGramAdapter("another text altogether")
    with caplog.at_level(logging.WARNING, "decodekit"):
        resume(cut.killed(3), other, trace=tmp_path / "again")
    assert "model_fingerprint" in caplog.records[0].difference
    trace = read_trace(tmp_path / "again")
    assert trace.header.adapter["model_fingerprint"] == MODEL.info.model_fingerprint
    assert trace.resumed[0].adapter["model_fingerprint"] == other.info.model_fingerprint


def test_the_source_is_only_read_and_no_file_is_written_over(tmp_path):
    cut = Cut(tmp_path, Chain())
    path = cut.killed(3, b"{")
    before = path.read_bytes()
    for target in (path, tmp_path / "whole"):
        with pytest.raises(TraceError, match="exists"):
            resume(path, MODEL, trace=target)
    assert path.read_bytes() == before


def test_what_is_no_run_to_go_on_with_is_a_typed_error(tmp_path):
    cut = Cut(tmp_path, Chain(), max_tokens=4)
    trace = read_trace(tmp_path / "whole")
    header = trace.header

    def changed(**fields: Any) -> decodekit.Trace:
        return replace(trace, header=replace(header, **fields), footer=None)

    old = json.loads(json.dumps(header.chain))
    old["sampler"]["version"] = "0.0.1"
    cases: list[tuple[Any, type[Exception], str]] = [
        (changed(rng="decodekit-rng-2"), TraceError, "decodekit-rng-2"),
        (changed(chain=old), ConfigError, "0.0.1"),
        (changed(stop={}), TraceError, "stop conditions"),
        (changed(stop={**header.stop, "ids": None}), TraceError, "stop conditions"),
        (changed(sequences=[(0, 1)]), TraceError, "not in the order of a run"),
        (changed(prompts=[[1], [2]]), TraceError, "not in the order of a run"),
        (changed(sequences=[(0, 0), (0, 0)]), TraceError, "not in the order of a run"),
        (changed(prompts=[[999]]), ParameterError, "999"),
        (changed(sequences=[(1, 0)]), TraceError, "no sequence with stream 0"),
        (replace(trace, steps=trace.steps[1:], footer=None), TraceError, "not its place"),
        (replace(trace, steps=trace.steps[1:]), TraceError, "had 4 tokens, but this trace has 3 steps"),
        (replace(trace, steps=[]), TraceError, "had 4 tokens, but this trace has 0 steps"),
        (changed(chain={**header.chain, "processors": [{"name": "top_k", "params": {"top_k": 2},
         **decodekit.plugin.registry.describe(decodekit.processor("top_k", top_k=2))}]}), TraceError, "this chain"),
    ]  # fmt: skip
    for source, kind, why in cases:
        with pytest.raises(kind, match=why):
            resume(source, MODEL, trace=tmp_path / "again")
        assert not (tmp_path / "again").exists()
    with pytest.raises(TraceError, match="step 2 of stream 0 cannot come after 2 tokens: the sequence ended"):
        resume(trace, MODEL, max_tokens=2)
    damaged = bytearray((tmp_path / "whole").read_bytes())
    damaged[len(cut.lines[0]) + 90] ^= 1
    (tmp_path / "part").write_bytes(damaged)
    with pytest.raises(TraceError):
        resume(tmp_path / "part", MODEL)
    with pytest.raises(AdapterError):
        resume(cut.at_length(2), Around(MODEL, lambda *_: [AdapterError("gone")]), max_tokens=4)
