"""The remote adapter: a server that returns logprobs; the tokens are drawn on this side.

decodekit.adapter("remote", base_url="http://127.0.0.1:8080")
"""

from __future__ import annotations

try:
    import httpx as _httpx  # noqa: F401 - imported only to explain how to install it
    import httpx_sse as _httpx_sse  # noqa: F401
    import tenacity as _tenacity  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"the remote adapter needs httpx, httpx-sse and tenacity: pip install 'decodekit[remote]' ({error})"
    ) from error

from decodekit_remote.adapter import RemoteAdapter
from decodekit_remote.dialect import (
    Capabilities,
    Conversation,
    Counts,
    Dialect,
    Drawn,
    Entry,
    Position,
    Reply,
    Request,
    ServerInfo,
)
from decodekit_remote.refusals import Refused

__all__ = [
    "Capabilities",
    "Conversation",
    "Counts",
    "Dialect",
    "Drawn",
    "Entry",
    "Position",
    "Refused",
    "RemoteAdapter",
    "Reply",
    "Request",
    "ServerInfo",
]
