"""Tools where decodekit draws, and calls of tools in records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import decodekit
from decodekit import AsyncSession, Session
from decodekit.errors import ParameterError
from decodekit.testing import NGramAdapter
from decodekit.text.tool_call import ToolCall
from decodekit.trace.header import SequenceEnd
from decodekit.trace.trace import Trace
from decodekit.view.run_story import run_story

TOOLS: Any = [{"type": "function", "function": {"name": "weather"}}]
TEXT = "the cat sat on the mat. the dog sat on the cat. "


def test_where_decodekit_draws_tools_are_refused_with_the_way_out() -> None:
    session = Session(NGramAdapter(TEXT), seed=1)
    way_out = r"tools go to a provider that draws, and here.*chain='temperature=0.7 provider'.*processor\('tools'"
    for chain in ("multinomial", "greedy", "top_k=4 inverse_cdf"):
        with pytest.raises(ParameterError, match=way_out):
            session.generate("the ", max_tokens=2, tools=TOOLS, chain=chain)
    with pytest.raises(ParameterError, match=way_out):
        next(session.stream("the ", max_tokens=2, tools=TOOLS))
    with pytest.raises(ParameterError, match=way_out):
        session.generate_many(["the "], n=2, max_tokens=2, tools=TOOLS)

    async def asked() -> None:
        async with AsyncSession(NGramAdapter(TEXT), seed=1) as other:
            await other.generate("the ", max_tokens=2, tools=TOOLS)

    with pytest.raises(ParameterError, match=way_out):
        asyncio.run(asked())
    assert session.generate("the ", max_tokens=2, tools=[], tool_choice="auto").tool_calls == ()


def with_calls(*calls: ToolCall) -> Trace:
    """A trace whose sequence ends with calls; of a run that had none."""
    trace = Session(NGramAdapter(TEXT), seed=1).generate("the ", max_tokens=3).trace
    assert trace.footer is not None
    trace.footer.ends[0] = SequenceEnd(0, 3, "tool_calls", None, calls)
    return trace


CALL = ToolCall("c1", "weather<b>", '{"city": "\u202eRome"}')


def test_a_record_keeps_calls_and_shows_them_as_text() -> None:
    again = Trace.from_bytes(with_calls(CALL).to_bytes())
    assert again.footer is not None and again.footer.ends[0].tool_calls == (CALL,)
    (story,) = run_story(again).sequences
    assert story.tool_calls == (CALL.line,) and "\u202e" not in CALL.line and story.finish_reason == "tool_calls"
    page = again._repr_html_()
    assert "weather&lt;b&gt;" in page and "weather<b>" not in page and "\u202e" not in page


def test_arguments_that_are_too_long_for_a_record_are_shortened() -> None:
    long = ToolCall("c1", "weather", '{"city": "' + "x" * 2**24 + '"}')
    trace = Trace.from_bytes(with_calls(long, CALL).to_bytes())
    footer = trace.footer
    assert footer is not None
    first, second = footer.ends[0].tool_calls
    assert first.parsed is None and "the record has 200 of the 16777228 characters" in first.fault and second == CALL
    assert decodekit.verify(trace).word == "proved"


def test_a_difference_of_calls_after_equal_tokens_is_named() -> None:
    a, b, c = with_calls(CALL), with_calls(ToolCall("c2", "weather<b>", "{}")), with_calls(ToolCall("c3", *_of(CALL)))
    found = decodekit.diff(a, b)
    assert (found.equal, found.cause, found.where, found.step) == (False, "end", "tool_calls", 3)
    assert "the calls of tools differ" in found.why
    assert decodekit.diff(a, c).equal  # the ids are the provider's


def _of(call: ToolCall) -> tuple[str, str]:
    return call.name, call.arguments
