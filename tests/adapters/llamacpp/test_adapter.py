"""The llama.cpp adapter as a caller sees it: one verb, its errors, its resources."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_cpp")

import llama_cpp

import decodekit
from decodekit import Disclosure, Distribution, Prefix
from decodekit.distribution.disclosure import ALL
from decodekit.errors import AdapterError, ContextOverflow, ModelNotFound, OutOfMemory, ParameterError
from decodekit_llamacpp import LlamaCppAdapter
from decodekit_llamacpp.native import fill
from tests.adapters.llamacpp.bare_loop import MODEL, BareLoop, model_path

pytestmark = pytest.mark.real_model

PARIS = "The capital of France is"


def rows_of(answers: Sequence[Any]) -> list[int]:
    """How many tokens went through in the forward pass that each answer came from."""
    return [answer.schedule["rows"] for answer in answers]


def test_the_capital_of_france_is_paris(make: Callable[..., Any]) -> None:
    adapter = make()
    (answer,) = adapter.predict([Prefix(adapter.tokenizer.encode(PARIS))])
    assert adapter.tokenizer.token_bytes(answer.mode) == b" Paris"


def test_the_registry_builds_it_by_name() -> None:
    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=64)
    try:
        assert isinstance(adapter, LlamaCppAdapter)
        assert adapter.info.context_length == 64
    finally:
        adapter.close()


def test_what_it_says_of_itself_is_complete(make: Callable[..., Any]) -> None:
    info = make().info
    assert info.vocab_size == 49152
    assert info.model_fingerprint.startswith("sha256:")
    assert info.tokenizer_fingerprint.startswith("sha256:")
    assert info.model_fingerprint != info.tokenizer_fingerprint
    assert (info.cheap, info.most) == (ALL, ALL)
    assert (info.origin, info.stage, info.deterministic) == ("logits", "raw", True)
    assert info.versions["llama-cpp-python"]
    assert "rows per forward" in info.schedule_invariant


def test_a_cache_of_llama_cpps_own_types_claims_no_invariance(make: Callable[..., Any]) -> None:
    assert make(cache_type="f16").info.schedule_invariant == ""
    assert [make(**each).settings["cache"] for each in ({}, {"cache_type": "f16"})] == ["bf16-f16", "f16"]


def test_every_answer_carries_its_schedule(make: Callable[..., Any]) -> None:
    adapter = make(n_threads=1)
    (answer,) = adapter.predict([Prefix([5, 6, 7])])
    assert answer.schedule == {"rows": 3, "threads": 1, "cache": "bf16-f16"}
    assert (answer.origin, answer.stage) == ("logits", "raw")


def test_the_whole_vocabulary_is_disclosed_whatever_was_asked(make: Callable[..., Any]) -> None:
    (answer,) = make().predict([Prefix([5])], Disclosure(top=1))
    assert answer.token_ids is None
    assert answer.tail is None


def test_each_bad_prefix_has_its_own_error_and_the_good_ones_their_answers(make: Callable[..., Any]) -> None:
    adapter = make(n_ctx=50)
    good = Prefix([5, 6])
    asked = [Prefix(), good, Prefix([5, 49152]), Prefix([7] * 51), Prefix([7] * 50), good.extend([2**40])]
    answers = adapter.predict(asked)
    kinds = [ParameterError, Distribution, ParameterError, ContextOverflow, Distribution, ParameterError]
    assert [type(answer) for answer in answers] == kinds
    assert "empty" in str(answers[0])
    assert "49152" in str(answers[2])
    assert "51" in str(answers[3])


def test_no_prefixes_have_no_answers(make: Callable[..., Any]) -> None:
    assert make().predict([]) == []


def test_duplicates_are_evaluated_once_and_answered_each(make: Callable[..., Any]) -> None:
    answers = make().predict([Prefix([5, 6]), Prefix([5]).extend([6]), Prefix([5, 6])])
    assert rows_of(answers) == [2, 2, 2]
    assert answers[0] is answers[1] is answers[2]


def test_the_last_answers_are_given_again_without_a_forward_pass(make: Callable[..., Any]) -> None:
    adapter = make()
    first = adapter.predict([Prefix([5, 6]), Prefix([9])])
    assert adapter.predict([Prefix([9])], ALL)[0] is first[1]
    assert adapter.predict([Prefix([5, 6])], ALL)[0] is first[0]


def test_extending_a_prefix_evaluates_one_token(make: Callable[..., Any]) -> None:
    adapter = make()
    prefix = Prefix(range(100, 140))
    assert rows_of(adapter.predict([prefix])) == [40]
    for token in (1, 2, 3):
        prefix = prefix.extend([token])
        assert rows_of(adapter.predict([prefix])) == [1]


def test_a_prefix_whose_logits_are_gone_costs_its_last_token(make: Callable[..., Any]) -> None:
    adapter = make()
    prefix = Prefix(range(100, 140))
    adapter.predict([prefix])
    adapter.predict([Prefix([5])])
    assert rows_of(adapter.predict([prefix])) == [1]


def test_a_wrong_guess_takes_the_slot_of_no_other_sequence(make: Callable[..., Any]) -> None:
    adapter = make(max_sequences=2)
    other, prefix = Prefix(range(200, 230)), Prefix(range(100, 130))
    adapter.predict([other])
    adapter.predict([prefix])
    for token in range(1, 5):
        chain = [prefix.extend([token]), prefix.extend([token, 7]), prefix.extend([token, 7, 8])]
        assert rows_of(adapter.predict(chain)) == [3] * 3
        prefix = chain[0].extend([9])  # not the guessed 7
        assert rows_of(adapter.predict([prefix])) == [1]
    assert rows_of(adapter.predict([other.extend([1])])) == [1]


def test_a_text_is_scored_in_one_pass_over_its_tokens(make: Callable[..., Any]) -> None:
    ids = list(range(100, 160))
    assert rows_of(make().predict([Prefix(ids[:n]) for n in range(1, 61)])) == [60] * 60


def test_the_cold_stem_of_siblings_is_evaluated_once(make: Callable[..., Any]) -> None:
    stem = Prefix(range(100, 130))
    assert rows_of(make().predict([stem.extend([i, i]) for i in range(10)])) == [30 + 20] * 10


def test_many_branches_are_one_forward_pass(make: Callable[..., Any]) -> None:
    adapter = make()
    branches = [Prefix(range(100, 130)).extend([i]) for i in range(16)]
    adapter.predict(branches)
    for step in range(5):
        branches = [branch.extend([i + step]) for i, branch in enumerate(branches)]
        assert rows_of(adapter.predict(branches)) == [16] * 16


def test_two_children_of_every_branch_fit_even_when_all_slots_are_full(make: Callable[..., Any]) -> None:
    adapter = make(max_sequences=8)
    branches = [Prefix([100, 101]).extend([i, i]) for i in range(8)]
    adapter.predict(branches)
    assert rows_of(adapter.predict([branch.extend([token]) for branch in branches for token in (1, 2)])) == [8] * 16


def test_a_handed_out_distribution_does_not_change_with_the_next_call(make: Callable[..., Any]) -> None:
    adapter = make()
    (first,) = adapter.predict([Prefix([5, 6])])
    before = first.scores.copy()
    adapter.predict([Prefix([900, 901])])
    assert np.array_equal(first.scores, before)


def test_a_closed_adapter_says_so_and_closes_again(make: Callable[..., Any]) -> None:
    adapter = make()
    tokenizer = adapter.tokenizer
    adapter.close()
    adapter.close()
    with pytest.raises(AdapterError, match="closed"):
        adapter.predict([Prefix([5])])
    with pytest.raises(AdapterError, match="closed"):
        tokenizer.encode("text")


def failing(monkeypatch: pytest.MonkeyPatch, times: int, error: BaseException | None = None) -> None:
    """Make the next forward passes fail, as llama.cpp does when a buffer cannot be had, or as an interrupt does."""
    decode, left = llama_cpp.llama_decode, [times]

    def faulty(*arguments: Any) -> int:
        if left[0] > 0:
            left[0] -= 1
            if error is not None:
                decode(*arguments)  # an interrupt arrives when the C code is done
                raise error
            return -3
        return int(decode(*arguments))

    monkeypatch.setattr(llama_cpp, "llama_decode", faulty)


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
def test_whichever_pass_fails_every_answer_given_is_right(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, bare: BareLoop, times: int
) -> None:
    adapter = make(rows_per_forward=16)
    adapter.predict([Prefix([1, 2, 3])])
    prefixes = [Prefix([1, 2, 3]).extend(range(10, 30 + n)) for n in (0, 1)] + [Prefix([4] * 20)]
    failing(monkeypatch, times)
    given = adapter.predict(prefixes)
    monkeypatch.undo()
    assert {type(answer) for answer in given} <= {Distribution, OutOfMemory}
    # Asked again, and asked for more: whatever the failure left in the cache must be what the index says.
    for asked, answers in (
        (prefixes, given),
        (prefixes, adapter.predict(prefixes)),
        (longer := [prefix.extend([9]) for prefix in prefixes], adapter.predict(longer)),
    ):
        for prefix, answer in zip(asked, answers, strict=True):
            if not (answers is given and isinstance(answer, OutOfMemory)):
                assert np.array_equal(answer.scores, bare(prefix.token_ids))


def test_a_pass_that_fails_for_good_is_out_of_memory_for_its_rows_only(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make()
    failing(monkeypatch, 10**6)
    answers = adapter.predict([Prefix([5]), Prefix()])
    assert [type(answer) for answer in answers] == [OutOfMemory, ParameterError]
    monkeypatch.undo()
    assert isinstance(adapter.predict([Prefix([5])])[0], Distribution)


def test_an_interrupt_leaves_index_and_memory_in_agreement(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, bare: BareLoop
) -> None:
    adapter = make(rows_per_forward=16)
    prefix = Prefix(range(100, 140))
    adapter.predict([prefix])
    failing(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        adapter.predict([prefix.extend([1, 2]), prefix.extend([1, 3])])
    monkeypatch.undo()
    for answer, ids in zip(adapter.predict([prefix.extend([1, 2]), prefix.extend([5])]), ([1, 2], [5]), strict=True):
        assert np.array_equal(answer.scores, bare(prefix.extend(ids).token_ids))


@pytest.mark.parametrize(
    "params",
    [
        {"n_ctx": 0},
        {"n_ctx": 8193},  # the model was trained on 8192
        {"n_threads": 0},
        {"max_sequences": 0},
        {"max_sequences": 251},
        {"rows_per_forward": 0},
        {"n_gpu_layers": -2},
        {"n_gpu_layers": -1},  # all of them, but the build that the tests run has no GPU
        {"n_gpu_layers": 1},
        {"n_threads": True},
        {"n_ctx": 64.0},
        {"cache_type": "q4_0"},
        {"sha256": "abc"},
        {"model": ""},
    ],
)
def test_parameters_out_of_range_are_refused_by_name(params: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(params))):
        LlamaCppAdapter(**{"model": MODEL, **params})


def test_a_pinned_digest_admits_this_file_and_no_other(make: Callable[..., Any]) -> None:
    digest = make().info.model_fingerprint.removeprefix("sha256:")
    make(sha256=digest.upper(), n_ctx=64)
    with pytest.raises(ModelNotFound, match="not the pinned model"):
        make(sha256="0" * 64)


def test_a_damaged_model_is_refused_in_llama_cpps_own_words(tmp_path: Any) -> None:
    with Path(model_path()).open("rb") as file:
        (tmp_path / "cut.gguf").write_bytes(file.read(5000))
    with pytest.raises(ModelNotFound, match=r"llama\.cpp says"):
        LlamaCppAdapter(model=str(tmp_path / "cut.gguf"))


def test_nothing_is_ever_printed_and_no_handle_outlives_the_process(tmp_path: Any) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nothing else")
    program = f"""
import decodekit
from decodekit import Prefix
try:
    decodekit.adapter("llamacpp", model={str(tmp_path / "bad.gguf")!r})
except decodekit.errors.ModelNotFound:
    pass
kept = decodekit.adapter("llamacpp", model={MODEL!r}, n_ctx=64)   # never closed
kept.predict([Prefix([5]), Prefix([6] * 65)])
dropped = decodekit.adapter("llamacpp", model={MODEL!r}, n_ctx=64, rows_per_forward=1)
dropped.predict([Prefix([5, 6, 7])])
del dropped
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_llama_cpps_log_is_there_for_who_listens(make: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="llama.cpp"):
        make(n_ctx=64)
    lines = [record for record in caplog.records if record.name == "llama.cpp"]
    assert {record.levelname for record in lines} == {"DEBUG"} and any("llama" in record.message for record in lines)


def test_without_llama_cpp_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['llama_cpp'] = None\ntry: import decodekit_llamacpp\nexcept ImportError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'decodekit[llamacpp]'" in done.stdout


@pytest.mark.parametrize("asked", [1, 9, 23])
def test_a_run_whose_server_went_away_goes_on_to_the_unbroken_text(
    make: Callable[..., Any], tmp_path: Path, asked: int
) -> None:
    chain = decodekit.Chain(
        [
            decodekit.processor("repetition_penalty", repetition_penalty=1.1),
            decodekit.processor("temperature", temperature=0.8),
            decodekit.processor("mirostat_v2", mirostat_v2=3.0),
        ]
    )
    call: dict[str, Any] = {"max_tokens": 24, "seed": 7, "stop": ["\n\n"]}
    whole = decodekit.Session(make(), chain).generate(PARIS, **call)
    adapter = make()
    answer, calls = adapter.predict, itertools.count()

    def predict(prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
        if next(calls) == asked:
            raise decodekit.ProviderError("the server is gone")
        return answer(prefixes, disclose)

    adapter.predict = predict
    with pytest.raises(decodekit.ProviderError) as caught:
        decodekit.Session(adapter, chain).generate(PARIS, **call, trace=tmp_path / "run.jsonl")
    partial = caught.value.partial
    assert isinstance(partial, decodekit.Result)
    assert partial.token_ids == whole.token_ids[:asked] and whole.text.startswith(partial.text)
    for source in (partial.trace, tmp_path / "run.jsonl"):
        (result,) = decodekit.resume(source, make(), trace=tmp_path / f"{type(source).__name__}.jsonl")
        assert (result.token_ids, result.text) == (whole.token_ids, whole.text)
        assert [step.choice.raw_logprob for step in result.trace.steps] == [
            step.choice.raw_logprob for step in whole.trace.steps
        ]
        assert decodekit.verify(result.trace).word == "proved"


def test_a_version_of_llama_cpp_python_without_a_field_is_refused_and_nothing_is_dropped() -> None:
    """ctypes would take any attribute, and llama.cpp would never see it."""
    parameters = fill(llama_cpp.llama_context_default_params(), n_ctx=77)
    assert parameters.n_ctx == 77
    with pytest.raises(AdapterError, match=r"llama-cpp-python \d.* has no 'kv_divided' in llama_context_params"):
        fill(parameters, kv_divided=True)
