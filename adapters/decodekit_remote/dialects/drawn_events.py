"""Reading answers that the server draws: what the dialects of OpenAI's kind have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Drawn, Entry, Token
from decodekit_remote.dialects.completions import position
from decodekit_remote.dialects.content import by_bytes, positions

__all__ = ["drawn_choice", "ending_of", "listed_entries"]


def drawn_choice(data: Any, text: str | None, read: Callable[[str], Token], name: str) -> Drawn:
    """The only choice of an event. The token that ends the text has no text, and is left out.

    Args:
        data: the event.
        text: the text that it adds.
        read: what a key of a list is.
        name: of the dialect, for errors.
    """
    choice = data["choices"][0]
    ends, scored = ending_of(choice.get("finish_reason"), name), choice.get("logprobs") or {}
    entries: list[Entry] = []
    if text or ends != "stop":
        entries = listed_entries(scored["content"], name) if scored.get("content") else _keyed_entries(scored, read)
        if text and not entries:
            entries = [Entry(text)]
    return Drawn(entries, ends, str(data.get("model") or ""), str(data.get("system_fingerprint") or ""))


def listed_entries(listed: Any, name: str) -> list[Entry]:
    """Tokens in the form of chat answers, which llama-server's completions have too."""
    return [
        Entry(
            by_bytes(each),
            each.get("logprob"),
            positions([each], by_bytes, name)[0] if each.get("top_logprobs") else None,
        )
        for each in listed
    ]


def _keyed_entries(scored: Any, read: Callable[[str], Token]) -> list[Entry]:
    """Tokens in the form of completions: four lists."""
    tokens = scored.get("tokens") or []
    tops, own = scored.get("top_logprobs") or [None] * len(tokens), scored.get("token_logprobs") or [None] * len(tokens)
    entries = []
    for token, logprob, top in zip(tokens, own, tops, strict=True):
        value = (top or {}).get(token) if logprob is None else logprob
        entries.append(Entry(read(token), value, position(token, top, read) if top else None))
    return entries


def ending_of(reason: str | None, name: str) -> Literal["stop", "length"] | None:
    """Why an answer that the server drew is complete; None where it goes on.

    Raises:
        ProviderError: for a reason that no text has, such as a filter.
    """
    if reason is None:
        return None
    if reason not in _ENDINGS:
        raise ProviderError(f"{name}: the server ended its answer for the reason {str(reason)[:40]!r}")
    return _ENDINGS[reason]


_ENDINGS: Mapping[str, Literal["stop", "length"]] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens"), "length"),
}
