"""Stop strings and bans that name control tokens, and texts that have no UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from decodekit import Chain, DecodekitError, ParameterError, PluginError, Session, processor, read_trace, resume, verify
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.text.byte_alphabet import BYTES
from decodekit.text.huggingface import FastTokenizer
from decodekit.text.stream import TextStream

START, IM_END, END = 256, 257, 258


def tokenizer() -> FastTokenizer:
    """Bytes, and three control tokens; the last of them is the end."""
    backend = Tokenizer(models.BPE(vocab=dict(BYTES), merges=[]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    names = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    backend.add_special_tokens([AddedToken(name, special=True) for name in names])
    return FastTokenizer(backend, eos_ids=[END])


TOKENIZER = tokenizer()


def writes(ids: Sequence[int], sure: float = 20.0) -> TableAdapter:
    """A model that writes these tokens after two others, and then its end."""

    def row(prefix: Sequence[int]) -> np.ndarray:
        return np.where(np.arange(259) == [*ids, END][min(len(prefix) - 2, len(ids))], sure, -sure)

    return TableAdapter(row, 259, tokenizer=TOKENIZER)


def run(ids: Sequence[int], **options: Any) -> tuple[str, str, int]:
    result = Session(writes(ids), Chain([]), seed=1).generate("Q:", max_tokens=30, **options)
    return result.text, result.finish_reason, len(result.token_ids)


SCRIPT = [*b"hi", IM_END, *b"\nuser: more"]


def test_a_stop_string_that_is_a_control_token_stops_when_it_comes() -> None:
    assert run(SCRIPT, stop=["<|im_end|>"]) == ("hi", "stop", 3) == run(SCRIPT, stop_ids=[IM_END])
    assert run(list(b"hi<|im_end|>more"), stop=["<|im_end|>"])[:2] == ("hi", "stop")  # its letters count as well
    assert run(SCRIPT, stop=["|>", "<", "im_end"])[:2] == ("hi\nuser: more", "stop")  # a part of it does not


def test_a_stop_string_may_hold_control_tokens_and_text() -> None:
    assert run(SCRIPT, stop=["i<|im_end|>\nu"]) == ("h", "stop", 5)
    assert run(SCRIPT, stop=["<|im_end|>\nX"])[:2] == ("hi\nuser: more", "stop")  # held, and given back
    assert run([IM_END, IM_END, START, *b"a"], stop=["<|im_end|><|im_start|>"]) == ("", "stop", 3)


def test_a_control_token_that_is_named_hides_no_other_stop_string() -> None:
    assert run([*b"xa", IM_END, *b"b, c"], stop=["ab", "Z<|im_end|>"]) == ("x", "stop", 4)


def test_no_symbol_is_ever_shown() -> None:
    session = Session(writes([*b"a", IM_END, *"é".encode(), IM_END]), Chain([]), seed=1)
    steps = list(session.stream("Q:", stop=["<|im_end|>Z", "q<|im_end|>"]))
    assert "".join(step.text for step in steps) == "aé"
    stream = TextStream(("Z",), ((IM_END, "Z"),))
    checkpoint = stream.checkpoint()
    assert [stream.push(b"a", 97), stream.push(b"", IM_END), stream.push(b"b", 98)] == ["a", "", "b"]
    stream.rewind(checkpoint)
    assert [stream.push(b"", IM_END), stream.push(b"Z", 90), stream.stopped, stream.text] == ["", "", True, ""]


def test_a_ban_that_is_a_control_token_is_obeyed() -> None:
    row = np.full(259, -30.0)
    row[[97, IM_END]] = 0.0
    session = Session(TableAdapter(lambda _: row, 259, tokenizer=TOKENIZER), Chain([]), seed=3)
    assert IM_END in session.generate("Q:", max_tokens=40).token_ids
    result = session.generate("Q:", max_tokens=40, ban=["<|im_end|>"])
    assert IM_END not in result.token_ids and result.text == "a" * 40
    kept = session.generate("Q:", max_tokens=40, ban=["a<|im_end|>"]).token_ids
    assert (97, IM_END) not in pairwise(kept) and {97, IM_END} == {*kept, IM_END}


def test_a_ban_of_the_end_is_obeyed_too() -> None:
    row = np.full(259, -30.0)
    row[[97, END]] = 0.0
    session = Session(TableAdapter(lambda _: row, 259, tokenizer=TOKENIZER), Chain([]), seed=3)
    assert len(session.generate("Q:", max_tokens=20).token_ids) < 20
    assert session.generate("Q:", max_tokens=20, ban=["<|endoftext|>"]).text == "a" * 20


def test_a_run_that_stops_at_a_control_token_is_resumed_as_it_was(tmp_path: Path) -> None:
    session = Session(writes(SCRIPT), Chain([]), seed=1)
    session.generate("Q:", max_tokens=2, stop=["<|im_end|>"], trace=tmp_path / "run.jsonl")
    (result,) = resume(tmp_path / "run.jsonl", writes(SCRIPT), max_tokens=9)
    assert (result.text, result.finish_reason, len(result.token_ids)) == ("hi", "stop", 3)


@pytest.mark.parametrize("level", ["proof", "full"])
@pytest.mark.parametrize(
    "stop", [["<|im_end|>\nuser"], ["hi<|im_end|>\nzzz"], ["<|im_end|>\nzzz", "more"], ["i<|im_end|>"], ["more"]]
)
def test_texts_with_named_control_tokens_are_verified_as_they_were_written(
    level: str, stop: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    run(SCRIPT, stop=stop, level=level, trace=path)
    assert verify(path, tokenizer=TOKENIZER).word == "proved"
    if level == "full":
        assert verify(path, chain=True, tokenizer=TOKENIZER).word == "reproduced"


# -- texts that have no UTF-8 ------------------------------------------------------------------------------------------

NGRAM = NGramAdapter("the cat sat on the mat. " * 3)
HALF = "\udcff"


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("stop", lambda path: Session(NGRAM, seed=1).generate("a", stop=HALF, trace=path)),
        ("ban", lambda path: Session(NGRAM, seed=1).generate("a", ban=[HALF], trace=path)),
        ("metadata", lambda path: Session(NGRAM, seed=1, metadata={HALF: 1}).generate("a", trace=path)),
        ("prompt 0", lambda path: Session(NGRAM, seed=1).generate(HALF, trace=path)),
        ("prompt 1", lambda path: Session(NGRAM, seed=1).generate_many(["a", HALF], trace=path)),
        ("bad_words", lambda _: processor("bad_words", bad_words=[HALF])),
        ("token_healing", lambda _: processor("token_healing", token_healing=HALF)),
    ],
)
def test_half_a_surrogate_pair_is_refused_where_it_enters(
    field: str, call: Callable[[Path], Any], tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match=field) as caught:
        call(tmp_path / "run.jsonl")
    str(caught.value).encode()  # the message can be shown
    assert list(tmp_path.iterdir()) == []


def test_an_error_whose_words_have_no_utf8_is_not_lost(tmp_path: Path) -> None:
    def fails(dist: Any, ctx: Any) -> Any:
        raise RuntimeError(f"cannot read {HALF}.txt")

    with pytest.raises(PluginError, match="cannot read") as caught:
        Session(NGRAM, Chain([fails]), seed=1).generate("a", trace=tmp_path / "run.jsonl")
    assert isinstance(caught.value, DecodekitError)
    footer = read_trace(tmp_path / "run.jsonl").footer
    assert footer is not None and "\\udcff.txt" in str(footer.ends[0].error)
