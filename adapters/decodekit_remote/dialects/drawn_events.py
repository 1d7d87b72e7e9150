"""Reading answers that the server draws: what the dialects of OpenAI's kind have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from decodekit.errors import ProviderError
from decodekit.model.drawn import Ending
from decodekit_remote.dialect import Counts, Drawn, Entry, Position, Token, Whole
from decodekit_remote.dialects.completions import position, whole_number
from decodekit_remote.dialects.content import by_bytes, is_joined, positions

__all__ = [
    "arguments_in",
    "counts_in",
    "drawn_choice",
    "ending_of",
    "listed_entries",
    "refuses",
    "text_in",
    "uses_a_tool",
]


def drawn_choice(
    data: Any,
    choice: Any,
    read: Callable[[str], Token],
    name: str,
    fault: ProviderError | None = None,
) -> Drawn:
    """What an event adds to its choice. A text without pieces may be a ``message``, which is the whole answer so far.

    Some servers of one kind write a piece as the other kind has it (``text`` or ``delta``), and some write both.

    Args:
        data: the event.
        choice: the choice; None where the event has none.
        read: what a key of a list is.
        name: of the dialect, for errors.
        fault: why the answer cannot be used from here on.
    """
    counts = counts_in(data.get("usage"))
    if choice is None:
        return Drawn((), counts=counts)
    scored = choice.get("logprobs") or {}
    ends, odd = ending_of(choice.get("finish_reason"), name)
    listed = listed_entries(scored["content"], name) if scored.get("content") else _keyed_entries(scored, read)
    delta = choice.get("delta") or {}
    piece, plain = content_in(delta), text_in(choice.get("text"))
    if plain and not piece and any(value for key, value in delta.items() if key not in ("role", "content")):
        plain = ""  # the text of a delta that has something else, such as reasoning
    if piece and plain not in ("", piece):
        odd = odd or ProviderError(f"{name}: an event has two texts, {plain[:40]!r} and {piece[:40]!r}")
    text, whole = piece or plain, content_in(choice.get("message"))
    if whole and whole == text:
        whole = ""  # the piece in two forms
    return Drawn(
        [] if whole and not text else listed,
        ends,
        str(data.get("model") or ""),
        str(data.get("system_fingerprint") or ""),
        text,
        counts=counts,
        fault=fault or odd,
        wholes=[Whole(whole, None, [] if text else listed)] if whole else (),
    )


def content_in(message: Any) -> str:
    """The text of a message or of what is added to it. Of a list of parts, those of text; '' where there is none.

    Raises:
        TypeError: it is anything else.
    """
    content = (message or {}).get("content")
    if not isinstance(content, list):
        return text_in(content)
    foreign = [part.get("type") for part in content if part.get("type") not in _PARTS]
    if foreign:
        raise TypeError(f"a text that is list with a part of type {str(foreign[0])[:40]!r}")
    return "".join(text_in(part.get("text")) for part in content)


def text_in(value: Any) -> str:
    """A text; '' for None. Raises `TypeError` for anything else."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"a text that is {type(value).__name__}")
    return value or ""


def arguments_in(value: Any) -> str:
    """The text of a call's arguments, which some servers write as an object."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else text_in(value)


def counts_in(usage: Any, prompt: str = "prompt_tokens", completion: str = "completion_tokens") -> Counts:
    """The numbers of tokens in a ``usage``, by the names that the API has; those that are no numbers are left out."""
    if not isinstance(usage, Mapping):
        return Counts()
    details = usage.get(f"{prompt}_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Counts(_count(usage.get(prompt)), _count(usage.get(completion)), _count(cached))


def _count(value: Any) -> int | None:
    with suppress(TypeError):
        number = whole_number(value)
        return None if number is None or number < 0 else number
    return None


def listed_entries(listed: Any, name: str) -> list[Entry]:
    """Tokens in the form of chat answers, which llama-server's completions have too."""
    return [
        Entry(by_bytes(each), None, None)
        if is_joined(each)
        else Entry(by_bytes(each), each.get("logprob"), _top(each, name))
        for each in listed
    ]


def _top(entry: Any, name: str) -> Position | None:
    """The alternatives of an entry; None where there are none with a value: a list is only a record here."""
    if entry.get("top_logprobs"):
        with suppress(ProviderError):
            return positions([entry], by_bytes, name)[0]
    return None


def _keyed_entries(scored: Any, read: Callable[[str], Token]) -> list[Entry]:
    """Tokens in the form of completions: four lists."""
    tokens = scored.get("tokens") or []
    tops, own = scored.get("top_logprobs") or [None] * len(tokens), scored.get("token_logprobs") or [None] * len(tokens)
    entries = []
    for token, logprob, top in zip(tokens, own, tops, strict=True):
        value = (top or {}).get(token) if logprob is None else logprob
        found = None
        with suppress(ProviderError):
            found = position(token, top, read) if top else None
        entries.append(Entry(read(token), value, found))
    return entries


def ending_of(reason: str | None, name: str) -> tuple[Ending | None, ProviderError | None]:
    """Why an answer that the server drew is complete; None where it goes on, for which proxies write "" too.

    Of a reason that no text has, such as a filter, the error: text may come with it.
    """
    if not reason:
        return None, None
    if reason not in _ENDINGS:
        return None, ProviderError(f"{name}: the server ended its answer for the reason {str(reason)[:40]!r}")
    return _ENDINGS[reason], None


def uses_a_tool(name: str, what: str) -> ProviderError:
    """The error for an answer in which the provider runs a tool of its own, or calls one in a form that is not read."""
    return ProviderError(f"{name}: the answer has {what!r}; only calls of functions that tools= defines are understood")


def refuses(name: str, refusal: Any) -> ProviderError:
    """The error for an answer that the API marks as a refusal: it is not the text that was asked for."""
    return ProviderError(f"{name}: the model refuses to answer: {str(refusal)[:200]!r}")


_PARTS = ("text", "output_text")
_ENDINGS: Mapping[str, Ending] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "length"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("model_length", "model_context_window_exceeded"), "context"),  # Mistral's, Anthropic's
}
