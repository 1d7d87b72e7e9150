"""A run that broke off and goes on from its trace is, step for step and bit for bit, the run that never broke off."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import decodekit
from decodekit import (
    AdapterError,
    Chain,
    ConfigError,
    Disclosure,
    ParameterError,
    Plugin,
    ProviderError,
    Session,
    TraceError,
    UnknownPlugin,
    read_trace,
    resume,
    resume_stream,
    verify,
)
from decodekit.testing import BytesTokenizer, NGramAdapter, TableAdapter
from tests.session.conftest import TEXT, Around, plain, table
from tests.session.test_faults import FAULTS, after

MODEL = NGramAdapter(TEXT)
NOISE = TableAdapter(lambda ids: np.random.default_rng(ids).normal(0, 2, 257), 257, tokenizer=BytesTokenizer())
LENGTH = 10
PARTS: list[tuple[str, dict[str, Any]]] = [
    ("temperature", {"temperature": 1.3}),
    ("top_k", {"top_k": 7}),
    ("top_p", {"top_p": 0.97}),
    ("repetition_penalty", {"repetition_penalty": 1.3}),
    ("frequency_penalty", {"frequency_penalty": 0.4}),
    ("presence_penalty", {"presence_penalty": 0.4}),
    ("dry", {"dry": 0.8, "allowed_length": 1, "breakers": []}),
    ("no_repeat_ngram", {"no_repeat_ngram": 3}),
    ("min_new_tokens", {"min_new_tokens": 9}),
    ("exponential_length_decay", {"exponential_length_decay": 1.1, "start": 5}),
    ("thinking_budget", {"thinking_budget": 5, "start": [116], "end": [10]}),
    ("xtc", {"xtc": 0.5, "threshold": 0.05}),
    ("llamacpp_xtc", {"llamacpp_xtc": 0.5, "threshold": 0.05, "seed": 6}),
    ("mirostat", {"mirostat": 2.0, "eta": 0.5}),
    ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5}),
    ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5, "surprise": "whole"}),
    ("adaptive_p", {"adaptive_p": 0.3}),
]
SAMPLERS: list[tuple[str, dict[str, Any]]] = [
    ("multinomial", {}), ("greedy", {}), ("inverse_cdf", {}), ("llamacpp_dist", {"llamacpp_dist": 11}),
    ("llamacpp_dist", {"law": "discrete", "order": "id"}), ("forced", {"forced": [*b"cat sat on the mat"]}),
]  # fmt: skip


def build(parts: Sequence[tuple[str, dict[str, Any]]], sampler: tuple[str, dict[str, Any]] = SAMPLERS[0]) -> Chain:
    return Chain([decodekit.processor(n, **p) for n, p in parts], decodekit.sampler(sampler[0], **sampler[1]))


class Cut:
    """An unbroken run in a file, and what is left of it when it breaks."""

    def __init__(self, folder: Path, chain: Chain, adapter: Any = MODEL, prompt: Any = "the ", **call: Any) -> None:
        self.folder, self.adapter = folder, adapter
        self.call = {"max_tokens": LENGTH, "trace": folder / "whole", **call}
        self.session = Session(adapter, chain, seed=5, top_logprobs=3)
        self.whole = self.session.generate(prompt, **self.call)
        self.prompt, self.word = prompt, verify(folder / "whole").word
        self.lines = (folder / "whole").read_bytes().splitlines(keepends=True)

    def at_length(self, tokens: int) -> Path:
        """As if the limit had been lower."""
        path = self.folder / "part"
        path.unlink(missing_ok=True)
        self.session.generate(self.prompt, **{**self.call, "max_tokens": tokens, "trace": path})
        return path

    def killed(self, steps: int, more: bytes = b"") -> Path:
        """As if the process had been killed after so many steps, in the middle of a line."""
        path = self.folder / "part"
        path.write_bytes(b"".join(self.lines[: steps + 1]) + more)
        return path

    def check(self, source: Path | decodekit.Trace, **options: Any) -> decodekit.Result:
        """Go on, and compare all contents of the two traces, the raw log-probabilities and scores among them."""
        target = self.folder / "again"
        target.unlink(missing_ok=True)
        (result,) = resume(source, self.adapter, max_tokens=self.call["max_tokens"], trace=target, **options)
        assert result.trace.footer == self.whole.trace.footer
        assert (result.text, result.token_ids) == (self.whole.text, self.whole.token_ids)
        assert result.finish_reason == self.whole.finish_reason
        assert read_trace(target).token_ids() == list(result.token_ids)
        assert verify(target).word == self.word
        return result


@pytest.mark.parametrize("level", ["choice", "full"])
@pytest.mark.parametrize("part", [*PARTS, *SAMPLERS], ids=str)
def test_cut_after_any_step_it_goes_on_as_if_it_had_not_been(tmp_path, part, level):
    warm = [("temperature", {"temperature": 1.2}), ("top_k", {"top_k": 256})]
    chain = build(warm, part) if part in SAMPLERS else build([*warm, part])
    cut = Cut(tmp_path, chain, NOISE, level=level)
    for tokens in range(LENGTH + 1):
        cut.check(cut.killed(tokens))
        cut.check(cut.at_length(tokens))


@settings(max_examples=150)
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=5),
    sampler=st.sampled_from(SAMPLERS[:-1]),
    tokens=st.integers(0, LENGTH),
    level=st.sampled_from(["choice", "proof", "full"]),
    stop=st.lists(st.text("the catson,", min_size=1, max_size=4), max_size=2),
    ban=st.lists(st.text("the catson,", min_size=2, max_size=4), max_size=2),
    killed=st.booleans(),
    adapter=st.sampled_from([MODEL, NOISE]),
)
def test_any_chain_goes_on(tmp_path_factory, parts, sampler, tokens, level, stop, ban, killed, adapter):
    if sampler[0] != "multinomial":
        ban = []  # nothing random of ours, so a ban could not be kept
    folder = tmp_path_factory.mktemp("run")
    try:
        cut = Cut(folder, build(parts, sampler), adapter, level=level, stop=stop, ban=ban)
    except decodekit.DecodekitError:
        reject()  # such a chain leaves no token, or asks for the impossible
    made = len(cut.whole.token_ids)
    cut.check(cut.killed(min(tokens, made)) if killed else cut.at_length(tokens))


def test_cut_at_any_byte_it_goes_on_and_says_what_was_torn(tmp_path, caplog):
    cut = Cut(tmp_path, build([], SAMPLERS[1]), max_tokens=3)
    tail = b"".join(cut.lines[3:])
    for length in range(len(tail) + 1):
        left = tail[:length]
        torn = len(left) - (left.rfind(b"\n") + 1)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "decodekit"):
            result = cut.check(cut.killed(2, left))
        (note,) = read_trace(tmp_path / "again").resumed
        assert (note.steps, note.cut) == (2 + left[: len(left) - torn].count(b'"kind":"step"'), torn)
        assert [record.message for record in caplog.records] == (
            ["incomplete last line of the trace left out"] if torn else []
        )
        assert len(result.trace.resumed) == 1
    header = cut.lines[0]
    (tmp_path / "part").write_bytes(header[:-1])
    with pytest.raises(TraceError, match="incomplete"):
        resume(tmp_path / "part", MODEL)


@pytest.mark.parametrize("adapter", [MODEL, NGramAdapter("cacacacab" * 5)], ids=["text", "ca"])
def test_what_was_open_for_a_ban_is_open_again(tmp_path, adapter):
    cut = Cut(tmp_path, build(PARTS[:1]), adapter, "ca", max_tokens=25, ban=["cat", "sat on", "acacab", "cc"])
    made = len(cut.whole.token_ids)
    assert sum(len(step.abandoned) for step in cut.whole.trace.steps) >= 3
    reopened = 0
    for tokens in range(made):
        cut.check(cut.killed(tokens))
        kept = read_trace(cut.at_length(tokens)).token_ids()
        reopened += kept != list(cut.whole.token_ids[:tokens])
        cut.check(tmp_path / "part")
        if tokens % 3 == 1:
            (tmp_path / "part").unlink()
            steps = cut.session.stream("ca", **{**cut.call, "trace": tmp_path / "part"})
            for _ in range(tokens):
                next(steps)
            steps.close()
            cut.check(tmp_path / "part")
    assert reopened  # what a shorter run had kept was taken back


def test_text_that_was_shown_at_the_end_is_held_again(tmp_path):
    cut = Cut(tmp_path, Chain(), stop=["sat on", "\N{EM DASH}"], max_tokens=60)
    ended = [read_trace(cut.at_length(tokens)).steps for tokens in range(1, len(cut.lines) - 2)]
    changed = sum(steps[-1].text != cut.whole.trace.steps[len(steps) - 1].text for steps in ended)
    assert changed > 3  # what the shorter runs showed at their end
    for tokens in range(len(ended)):
        cut.check(cut.at_length(tokens))


def test_a_stream_gives_all_steps_the_recorded_ones_first(tmp_path):
    cut = Cut(tmp_path, build(PARTS[:3]), stop=["log"])
    adapter = Around(MODEL, plain)
    steps = resume_stream(cut.killed(4), adapter, max_tokens=LENGTH)
    seen = [next(steps) for _ in range(4)]
    assert adapter.asked == []
    seen += steps
    assert [step.token_id for step in seen] == list(cut.whole.token_ids)
    assert "".join(step.text for step in seen) == cut.whole.text


def test_a_stream_that_is_left_among_the_recorded_steps_has_not_ended(tmp_path):
    cut = Cut(tmp_path, Chain(), stop=["og", "at"])
    assert cut.whole.finish_reason == "stop"
    steps = resume_stream(tmp_path / "whole", MODEL, trace=tmp_path / "part")
    next(steps)
    steps.close()
    assert [(end.tokens, end.finish_reason) for end in read_trace(tmp_path / "part").footer.ends] == [(1, "cancelled")]
    cut.check(tmp_path / "part")


def test_an_async_adapter_is_asked_through_a_facade_that_ends(tmp_path):
    import threading

    class Later:
        info, tokenizer = MODEL.info, MODEL.tokenizer

        async def apredict(self, prefixes, disclose):
            return MODEL.predict(prefixes, disclose)

        async def aclose(self):
            raise AssertionError("it is not ours to close")

    cut = Cut(tmp_path, Chain())
    before = threading.active_count()
    (result,) = resume(cut.killed(3), Later())
    assert result.token_ids == cut.whole.token_ids
    assert threading.active_count() == before


# -- whatever broke it off --------------------------------------------------------------------------------------------


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


def test_a_head_is_asked_for_again_as_it_was(tmp_path):
    adapter = TableAdapter(lambda ids: np.random.default_rng([*ids]).normal(0, 3, 90), 90, most=Disclosure(20, (0,)))
    cut = Cut(tmp_path, build([("top_k", {"top_k": 8}), PARTS[13]]), adapter, [3])
    for tokens in range(LENGTH):
        cut.check(cut.killed(tokens))


def test_it_goes_on_from_a_resumed_run_and_from_a_recovered_one(tmp_path):
    cut = Cut(tmp_path, build([PARTS[16]]))
    resume(cut.killed(2, b'{"kind":"st'), MODEL, max_tokens=5, trace=tmp_path / "second")
    result = cut.check(tmp_path / "second")
    assert [(note.steps, note.cut) for note in result.trace.resumed] == [(2, 11), (5, 0)]
    assert result.trace.resumed[0].adapter["name"] == "ngram"
    assert [(note.steps, note.cut) for note in read_trace(tmp_path / "again").resumed] == [(2, 11), (5, 0)]
    decodekit.recover(cut.killed(2, b'{"kind":"st'), tmp_path / "recovered")
    cut.check(tmp_path / "recovered")


def test_what_has_ended_is_not_asked_about(tmp_path):
    cut = Cut(tmp_path, Chain(), stop=["cat", "dog"], max_tokens=200)
    assert cut.whole.finish_reason == "stop"
    adapter = Around(MODEL, plain)
    (result,) = resume(tmp_path / "whole", adapter, max_tokens=400)
    assert (result.token_ids, result.finish_reason) == (cut.whole.token_ids, "stop")
    stopped = cut.session.generate("the ", until=lambda step: step.index == 3, trace=tmp_path / "until")
    assert resume(tmp_path / "until", adapter, max_tokens=400)[0].token_ids == stopped.token_ids
    (short,) = resume(cut.at_length(4), adapter)
    assert (len(short.token_ids), short.finish_reason) == (4, "length")
    assert adapter.asked == []


def test_until_sees_the_recorded_steps_first(tmp_path):
    seen: list[int] = []

    def until(step: decodekit.Step) -> bool:
        seen.append(step.token_id)
        return len(seen) == 9

    cut = Cut(tmp_path, Chain(), until=until)
    seen.clear()
    cut.check(cut.killed(4), until=until)
    assert seen == list(cut.whole.token_ids)
    with pytest.raises(TraceError, match="step 3 of stream 0 cannot come after 3 tokens: the sequence ended there"):
        resume(cut.killed(4), MODEL, until=lambda step: step.index == 2)

    def impatient(step: decodekit.Step) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume(cut.killed(4), MODEL, until=impatient, trace=tmp_path / "never")
    assert not (tmp_path / "never").exists()


# -- what a trace cannot give back ------------------------------------------------------------------------------------


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
    with pytest.raises(ParameterError, match=r"max_tokens=2 .* the trace already has 4 tokens"):
        resume(trace, MODEL, max_tokens=2)
    damaged = bytearray((tmp_path / "whole").read_bytes())
    damaged[len(cut.lines[0]) + 90] ^= 1
    (tmp_path / "part").write_bytes(damaged)
    with pytest.raises(TraceError):
        resume(tmp_path / "part", MODEL)
    with pytest.raises(AdapterError):
        resume(cut.at_length(2), Around(MODEL, lambda *_: [AdapterError("gone")]), max_tokens=4)
