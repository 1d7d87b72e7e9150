"""The beginning of the first text, as markup that stands in the file before the script and the data.

A browser shows it while it reads the rest; the script then draws the whole page in its place. Without scripts it stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.html.markup import Markup, shown
from decodekit.text.counted import counted

__all__ = ["beginning"]

_TOKENS, _CHARACTERS = 400, 4000  # more than a screen has


def beginning(run: Mapping[str, Any], texts: Sequence[str], token_ids: Sequence[int]) -> Markup:
    """The header of a run and its first tokens, with the classes and in the order of the page's own elements.

    Args:
        run: as the head of a page has it.
        texts, token_ids: of all tokens. Of a sequence without any text, the ids are shown.
    """
    adapter, verdict = run["header"]["adapter"], run["verdict"]["word"]
    streams = run["streams"]
    size = sum(stream["to"] - stream["from"] for stream in streams)
    about = f"{run['name']}: {counted(size, 'token')}, seed {run['header']['seed']}."
    said = shown(f"{about} decodekit verify: {verdict}.")
    prompt, end = (streams[0]["prompt"], min(streams[0]["to"], _TOKENS)) if streams else (None, 0)
    first = "".join(texts[:end]).replace("\n", "↵\n") or " ".join(f"#{each}" for each in token_ids[:end])
    attributes = 'class="prompt" tabindex="0" role="region" aria-label="the prompt"'  # it scrolls: a key must reach it
    before = "" if prompt is None else f"<p {attributes}>{shown(prompt, newlines=True)}</p>"
    return Markup(
        f'<header class="run"><div class="title"><h1>{shown(str(adapter.get("model") or adapter.get("name", "")))}</h1>'
        f'</div><p>{said}</p></header><div class="columns"><div class="text">{before}'
        f'<div class="tokens">{shown(first[:_CHARACTERS], newlines=True)}</div></div></div>'
    )
