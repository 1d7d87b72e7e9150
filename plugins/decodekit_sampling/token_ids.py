"""Token ids as parameters."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

__all__ = ["TokenId", "TokenIds"]

TokenId = Annotated[int, Field(ge=0, lt=2**63)]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # TOML and JSON have lists only


TokenIds = Annotated[tuple[TokenId, ...], BeforeValidator(_as_tuple), Field(max_length=10_000_000)]
