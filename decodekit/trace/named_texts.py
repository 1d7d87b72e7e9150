"""What a step's schedule says of a token: its text, where an id means nothing without it, and who drew it."""

from __future__ import annotations

import json
import re

from decodekit.distribution import Schedule
from decodekit.text.safe_text import safe_text

__all__ = ["DRAWN_BY", "named_labels", "named_texts"]

DRAWN_BY = "drawn_by"
"""The key under which a schedule says that the provider drew the token."""

_BACKSLASH = re.compile(r"\\(?!x[89a-f][0-9a-f])")
_TWO = r"\\\\"


def named_texts(schedule: Schedule | None) -> dict[int, str]:
    """The texts by id, as an adapter wrote them under ``tokens``, with escapes for bytes that are no UTF-8.

    A server that gives texts and no ids has tokens whose ids are hashes. {} where there is no such table.
    """
    if not schedule or "tokens" not in schedule:
        return {}
    try:
        table = json.loads(str(schedule["tokens"]))
        return {int(token_id): str(text) for token_id, text in table.items()}
    except (ValueError, AttributeError, RecursionError):  # a damaged record
        return {}


def named_labels(schedule: Schedule | None) -> dict[int, str]:
    """The same texts as labels: in quotes, safe to show, with backslashes doubled where they begin no such escape."""
    made = {token: safe_text(_BACKSLASH.sub(_TWO, text)) for token, text in named_texts(schedule).items()}
    return {token: '"' + text.replace('"', '\\"') + '"' for token, text in made.items()}
