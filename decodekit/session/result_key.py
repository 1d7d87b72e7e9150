"""What a result follows from, as data; its digest is the result's key, so that no other result is taken for it."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

from decodekit.session.base import BaseSession
from decodekit.trace.header import template_digest

__all__ = ["digest", "session_facts"]


def session_facts(session: BaseSession) -> list[Any]:
    """What results depend on besides prompts, options, chains and seeds, as JSON data.

    Where the adapter has no fingerprint of its model, the model's name stands for it.
    """
    info = session.adapter.info
    model = [info.name, info.model_fingerprint or info.model, info.tokenizer_fingerprint]
    own = {key: value for key, value in session.call_defaults().items() if key != "deadline"}
    metadata = json.dumps(session.metadata, default=repr, sort_keys=True)
    return [model, _adapter_settings(session), template_digest(session.adapter), session.on_undisclosed, own, metadata]


def _adapter_settings(session: BaseSession) -> dict[str, Any]:
    """Those of a configuration, such as a number format; of an adapter that was given as an object, its ``settings``.

    Without the model, whose fingerprint stands for it, and without a device's number, in which workers differ.
    """
    adapter = (session.config or {}).get("adapter")
    if adapter is not None:
        return {key: value for key, value in adapter.items() if key != "model"}
    own = dict(getattr(session.adapter, "settings", {}))
    return own | ({"device": str(own["device"]).partition(":")[0]} if "device" in own else {})


def digest(data: Any) -> bytes:
    """16 bytes that identify JSON data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
