"""What a step's schedule says of a token: its text, where an id means nothing without it, and who drew it."""

from __future__ import annotations

import json

from decodekit.distribution import Schedule

__all__ = ["DRAWN_BY", "named_texts"]

DRAWN_BY = "drawn_by"
"""The key under which a schedule says that the provider drew the token."""


def named_texts(schedule: Schedule | None) -> dict[int, str]:
    """The texts by id, as an adapter wrote them under ``tokens``, with escapes for bytes that are no UTF-8.

    A server that gives texts and no ids has tokens whose ids are hashes. {} where there is no such table.
    """
    try:
        table = json.loads(str((schedule or {}).get("tokens", "{}")))
        return {int(token_id): str(text) for token_id, text in table.items()}
    except (ValueError, AttributeError, RecursionError):  # a damaged record
        return {}
