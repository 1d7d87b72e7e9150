"""Answers that come as a whole: in a late event, in place of pieces, or beside them."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit.errors import ProviderError
from tests.adapters.remote.scripted import anthropic, chunk, entry, generated, playing, responses, streamed

STOP = chunk(None, None, "stop")


def choice(ends: Any = None, **fields: Any) -> Any:
    """One event with a choice that is no chat's piece."""
    return {"choices": [{"index": 0, "finish_reason": ends, **fields}]}


def message(text: Any, **more: Any) -> Any:
    return {"role": "assistant", "content": text, **more}


def answered(*output: Any, status: str = "completed") -> Any:
    """The last event of ``/v1/responses``, with its whole output."""
    return {"type": f"response.{status}", "response": {"status": status, "model": "m", "output": output}}


def item(*texts: str) -> Any:
    content = [{"type": "output_text", "text": text, "logprobs": [entry(text)] if text else []} for text in texts]
    return {"type": "message", "role": "assistant", "content": content}


def at(kind: str, **fields: Any) -> Any:
    return {"type": f"response.{kind}", "output_index": 0, "content_index": 0, **fields}


def done(text: str) -> Any:
    """The end of a text, without its place."""
    return {"type": "response.output_text.done", "text": text}


def block(kind: str, at: int = 0, **fields: Any) -> Any:
    return {"type": f"content_block_{kind}", "index": at, **fields}


def pieces(*texts: str) -> list[Any]:
    return responses(*((text, []) for text in texts))[:-1]


SAID = {"type": "text", "text": "Hello"}
START, *_, END, LAST = anthropic()
CHAT, OLD, NEW, OTHER = "openai_chat", "openai_completions", "openai_responses", "anthropic_messages"
HEL = {"type": "text", "text": "Hel"}
BYE = {"type": "text", "text": "Bye"}
NOT = {"type": "refusal", "refusal": "I must not."}
PART = item("Hello")["content"][0]

WHOLE: dict[str, tuple[str, list[Any]]] = {
    "a message at the end": (CHAT, [choice("stop", message=message("Hello"))]),
    "a message behind the end": (CHAT, [STOP, choice(message=message("Hello"))]),
    "a message beside its pieces": (CHAT, [chunk("Hello"), choice("stop", delta={}, message=message("Hello"))]),
    "messages that grow": (CHAT, [*(choice(message=message(text), delta={}) for text in ("H", "Hel", "Hello")), STOP]),
    "what is missing behind the pieces": (CHAT, [chunk("Hel"), choice("stop", message=message("Hello"))]),
    "a piece in both forms": (CHAT, [choice(delta=message(t), message=message(t)) for t in ("Hel", "lo")] + [STOP]),
    "pieces behind the end": (CHAT, [chunk("Hel", None, "stop"), chunk("lo", None, "stop")]),
    "a text beside reasoning": (CHAT, [choice(text="hm", delta={"reasoning": "hm"}), chunk("Hello"), STOP]),
    "texts in place of deltas": (CHAT, [choice(text="Hel"), choice(text="lo"), choice("stop", text="")]),
    "texts beside deltas": (CHAT, [choice(text=t, delta={"content": t}) for t in ("Hel", "lo")] + [STOP]),
    "parts of type text": (CHAT, [chunk(content=[SAID]), STOP]),
    "deltas in place of texts": (OLD, [chunk("Hel"), chunk("lo"), STOP]),
    "a message in place of texts": (OLD, [choice("stop", message=message("Hello"))]),
    "the last event alone": (NEW, [answered(item("Hello"))]),
    "the text as done": (NEW, [at("output_text.done", text="Hello"), answered()]),
    "the part as done": (NEW, [at("content_part.done", part=PART), answered()]),
    "the part at its beginning": (NEW, [at("content_part.added", part=PART), answered()]),
    "the item as done": (NEW, [at("output_item.done", item=item("Hel", "lo")), answered()]),
    "the part at its beginning, and pieces": (
        NEW,
        [at("content_part.added", part={**PART, "text": "He"}), *pieces("l", "lo"), done("Hello"), answered()],
    ),
    "two parts without a place": (
        NEW,
        [
            *pieces("Hel"), done("Hel"), {"type": "response.content_part.done", "part": {**PART, "text": "Hel"}},
            *pieces("l"), *pieces("o"), done("lo"), answered(item("Hel", "lo")),
        ],
    ),
    "all of them": (
        NEW,
        [
            at("output_item.added", item=item()),
            at("content_part.added", part=item("")["content"][0]),
            *pieces("Hel", "lo"),
            at("output_text.done", text="Hello"),
            at("content_part.done", part=PART),
            at("output_item.done", item=item("Hello")),
            answered({"type": "reasoning", "summary": []}, item("Hello")),
        ],
    ),
    "white space that is cut off": (NEW, [*pieces("Hello"), answered(item(" Hello\n"))]),
    "an empty text that says nothing": (NEW, [*pieces("Hello"), at("output_text.done", text=""), answered(item(""))]),
    "the text of the start": (OTHER, [START, block("start", content_block=SAID), block("stop"), END, LAST]),
    "the start that pieces go on from": (OTHER, [block("start", content_block=HEL), *anthropic("l", "o")]),
    "the message of the start": (OTHER, [{**START, "message": {"content": [SAID]}}, END, LAST]),
    "both, and pieces": (
        OTHER,
        [{**START, "message": {"content": [SAID]}}, block("start", content_block=SAID), *anthropic("Hel", "lo")[1:]],
    ),
    "the block as it stops": (OTHER, [START, block("stop", content_block=SAID), END, LAST]),
    "the message as it stops": (OTHER, [START, END, {**LAST, "message": {"content": [SAID], "stop_reason": None}}]),
    "it alone": (OTHER, [START, {**LAST, "message": {"content": [SAID], "stop_reason": "end_turn"}}]),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_text_is_the_answer_where_no_pieces_are(name: str) -> None:
    dialect, events = WHOLE[name]
    with playing(events) as server:
        result = generated(server, dialect, prompt="hi")
    assert (result.text, result.finish_reason) == ("Hello", "stop")
    assert decodekit.verify(result.trace).word == "consistent"


def test_a_whole_text_keeps_its_lists() -> None:
    listed = {"content": [entry("Hel"), entry("lo")]}
    for dialect, events in (
        (CHAT, [choice("stop", message=message("Hello"), logprobs=listed)]),
        (NEW, [answered(item("Hel", "lo"))]),
    ):
        with playing(events) as server:
            result = generated(server, dialect)
        assert [(step.text, step.choice.raw_logprob) for step in result.trace.steps] == [("Hel", -0.5), ("lo", -0.5)]


CONTRADICTIONS: dict[str, tuple[str, list[Any]]] = {
    "a message": (CHAT, [chunk("Hel"), choice("stop", message=message("Goodbye"))]),
    "a message behind the end": (CHAT, [chunk("Hel"), STOP, choice(message=message("Goodbye"))]),
    "less than the pieces": (CHAT, [chunk("Hel"), choice("stop", message=message("H"))]),
    "a text that is no delta": (CHAT, [choice("stop", text="Goodbye", delta={"content": "Hel"})]),
    "of texts": (OLD, [choice(text="Hel"), choice("stop", message=message("Goodbye"))]),
    "the last event": (NEW, [*pieces("Hel"), answered(item("Goodbye"))]),
    "the text as done": (NEW, [*pieces("Hel"), at("output_text.done", text="Goodbye"), answered()]),
    "the item as done": (NEW, [*pieces("Hel"), at("output_item.done", item=item("Goodbye")), answered()]),
    "the part at its beginning": (NEW, [at("content_part.added", part=PART), *pieces("Hel", "Hel"), answered()]),
    "the text of the start": (OTHER, [START, block("start", content_block=SAID), *anthropic("Hel", "Hel")[1:]]),
    "the block as it stops": (OTHER, [*anthropic("Hel")[:2], block("stop", content_block=BYE), END]),
    "the message as it stops": (OTHER, [*anthropic("Hel")[:-1], {**LAST, "message": {"content": [BYE]}}]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_whole_text_that_is_not_its_pieces_is_an_error_with_what_came(name: str) -> None:
    dialect, events = CONTRADICTIONS[name]
    why = r"sent 'Hel(Hel)?' in pieces, and '.+' as the whole of it|has two texts, 'Goodbye' and 'Hel'"
    with playing(events) as server, pytest.raises(ProviderError, match=why) as caught:
        generated(server, dialect, prompt="hi")
    assert caught.value.partial is not None and caught.value.partial.text in ("Hel", "HelHel")


REFUSED: dict[str, tuple[str, list[Any]]] = {
    "a message": (CHAT, [chunk("We"), choice("stop", delta={}, message=message(None, refusal="I must not."))]),
    "the refusal as done": (NEW, [*pieces("We"), at("refusal.done", refusal="I must not."), answered()]),
    "the part": (NEW, [*pieces("We"), at("content_part.done", part=NOT)]),
    "the last event": (NEW, [*pieces("We"), answered({"type": "message", "content": [NOT]})]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_as_a_whole_is_one(name: str) -> None:
    dialect, events = REFUSED[name]
    with playing(events) as server, pytest.raises(ProviderError, match=r"refuses to answer: 'I must not\.'") as caught:
        generated(server, dialect)
    assert caught.value.partial is not None and caught.value.partial.text == "We"


def test_a_text_at_a_beginning_is_kept_where_the_rest_never_comes() -> None:
    events = [START, block("start", content_block=SAID)]
    with (
        playing(lambda *_: streamed(events, done=False)) as server,
        pytest.raises(ProviderError, match="cut") as caught,
    ):
        generated(server, OTHER)
    assert caught.value.partial is not None and caught.value.partial.text == "Hello"


def test_a_failed_answer_says_its_own_fault() -> None:
    end = answered(item("Goodbye"), status="failed")
    end["response"]["error"] = {"message": "no capacity"}
    with playing([*pieces("Hel"), end]) as server, pytest.raises(ProviderError, match="no capacity") as caught:
        generated(server, NEW)
    assert caught.value.partial is not None and caught.value.partial.text == "Hel"
