"""What a notebook shows of a distribution, a step, an explanation, a trace and a result."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit import Distribution, Session, Trace
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.testing.tokenizers import PiecesTokenizer
from tests.hostile_texts import HOSTILE

from .reading import Page

CONFORMANCE = Path(__file__).parents[1] / "trace" / "conformance"
CHAIN = "temperature=0.8 top_p=0.95"


def session(**options: object) -> Session:
    return Session(NGramAdapter("the cat sat on the mat. " * 4), CHAIN, seed=7, **options)


def long_result(steps: int) -> decodekit.Result:
    """A short run whose steps are there again and again, which is quicker than a long run."""

    def row(ids: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng(len(ids)).normal(0, 2.2, 40)

    made = Session(TableAdapter(row, 40), "temperature=1.2 top_p=0.95", seed=7).generate([1], max_tokens=50)
    again = [replace(made.trace.steps[at % 50], index=at) for at in range(steps)]
    return replace(made, trace=Trace(made.trace.header, again, made.trace.footer))


def test_a_distribution_is_a_table_of_its_leading_tokens() -> None:
    page = Page(Distribution.dense([math.log(p) for p in (0.125, 0.5, 0.25, 0.125)])._repr_html_())
    assert page.rows == [
        ["token", "p", ""],
        ["1", "0.5000", ""],
        ["2", "0.2500", ""],
        ["0", "0.1250", ""],
        ["3", "0.1250", ""],
    ]
    assert "raw, 4 of 4, entropy 1.213 nats" in page.text


def test_a_step_and_its_explanation_are_the_same_table() -> None:
    step = session().generate("the ", max_tokens=4).trace.steps[1]
    assert step._repr_html_() == step.explain()._repr_html_()
    told = step.explain()._repr_mimebundle_()
    assert told["text/plain"] == str(step.explain()) and told["text/html"] == step._repr_html_()
    page = Page(told["text/html"])
    for line, row in zip(str(step.explain()).splitlines()[2:], page.rows, strict=False):
        assert "".join(row).split() == line.split() or "".join(line.split()) == "".join("".join(row).split())


def test_a_result_shows_its_text_and_its_closest_decisions() -> None:
    result = session().generate("the ", max_tokens=20)
    page = Page(result._repr_html_())
    assert result.text in page.text and f"check: {len(result.token_ids)} proved" in page.text
    assert len(page.titles) == sum(bool(step.text) for step in result.trace.steps)
    finite = sorted((step.choice.margin, step.index) for step in result.trace.steps if step.choice.margin < math.inf)
    assert page.text.count("check: proved") == min(5, len(finite))
    assert page.text.index("closest decisions") < page.text.index(f"step {finite[0][1]}: ")


def test_a_trace_shows_all_sequences_and_a_result_its_own() -> None:
    first, second = session().generate_many(["the "], n=2, max_tokens=8)[0]
    both, one = Page(first.trace._repr_html_()), Page(second._repr_html_())
    assert first.text in both.text and second.text in both.text
    assert second.text in one.text and len(one.titles) < len(both.titles)


def test_a_long_trace_says_what_it_leaves_out() -> None:
    result = long_result(10_000)
    for shown in (result._repr_html_(), result.trace._repr_html_()):
        page = Page(shown)
        assert len(shown) < 500_000 and "8000 more tokens are not shown here" in page.text
        assert len(page.titles) == 2000 and "closest decisions" in page.text
    assert "not done here for more than 2000 steps" in Page(result._repr_html_()).text


def test_texts_of_a_megabyte_are_left_out() -> None:
    tokenizer = PiecesTokenizer([b"<" * 60_000, b"end"])
    result = Session(TableAdapter(lambda _: [9.0, 0.0], 2, tokenizer=tokenizer), seed=7).generate([1], max_tokens=8)
    shown = result._repr_html_()
    assert len(shown) < 1_000_000 and "7 more tokens are not shown here" in Page(shown).text


@pytest.mark.parametrize("level", ["none", "choice", "full"])
def test_every_level_is_shown(level: str) -> None:
    result = session().generate("the ", max_tokens=8, level=level)
    page = Page(result._repr_html_())
    assert result.text in page.text and ("no steps were kept" in page.text) == (level == "none")
    Page(result.trace._repr_html_())


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFORMANCE.glob("*.jsonl")))
def test_every_trace_that_can_be_read_can_be_shown(name: str) -> None:
    """Sound, damaged and forged ones, of every sampler, with tails, branches and draws of a provider."""
    try:
        trace = decodekit.read_trace(CONFORMANCE / f"{name}.jsonl")
    except decodekit.TraceError:
        return
    page = Page(trace._repr_html_())
    assert f"steps: {len(trace.steps)}" in page.text
    if name == "provider":
        assert "most surprising tokens" in page.text and "margin" not in "".join(page.titles)


def test_hostile_tokens_are_shown_and_do_nothing() -> None:
    """120 tokens, each drawn once."""
    pieces = [text.encode("utf-8", "surrogatepass") for text in HOSTILE]
    row = lambda ids: [30.0 if token == len(ids) - 1 else 0.0 for token in range(len(pieces))]  # noqa: E731
    adapter = TableAdapter(row, len(pieces), tokenizer=PiecesTokenizer(pieces))
    made = Session(adapter, CHAIN, seed=7)
    result = made.generate([0], max_tokens=len(pieces))
    assert result.token_ids == tuple(range(len(pieces)))
    for shown in (result, result.trace, *result.trace.steps, *(result.explain(at) for at in range(len(pieces)))):
        html = shown._repr_html_()
        page = Page(html)
        html.encode()
        assert not [c for c in page.text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066"]


def test_hostile_words_of_a_header_are_shown_and_do_nothing() -> None:
    trace = session().generate("the ", max_tokens=2).trace
    for text in HOSTILE:
        chain = {"processors": [{"name": text, "params": {text: text}}] * 2, "sampler": {"name": text}}
        forged = decodekit.trace.Header(
            7, "proof", trace.header.prompts, trace.header.sequences, chain, {"model_id": text}
        )
        ends = [decodekit.trace.SequenceEnd(0, 2, text)]  # type: ignore[arg-type]
        Page(Trace(forged, trace.steps, decodekit.trace.Footer(ends, ""))._repr_html_())
