"""What the operator of a server has it do to every answer, and no request can switch off."""

from __future__ import annotations

from decodekit.errors import AdapterError
from decodekit_remote.dialect import Ask, ServerInfo
from decodekit_remote.engines import program_named
from decodekit_remote.reading import SHAPE

__all__ = ["standing_of"]


async def standing_of(ask: Ask, info: ServerInfo) -> str:
    """The grammar of a llama-server that was started with one (``--grammar``, ``--json-schema``); '' for nothing known.

    A request may set another grammar there, and none without one; only an answer of its own route names it
    (ggml-org/llama.cpp ``server-schema.cpp``, ``server-task.cpp``). One token is asked for.
    """
    if program_named(info.engine) != "llama.cpp":
        return ""
    body = {"prompt": "a", "n_predict": 1} | ({"model": info.model} if info.model else {})
    try:
        grammar = (await ask("/completion", body))["generation_settings"]["grammar"]
    except (AdapterError, *SHAPE):  # another version, or a server in front of it
        return ""
    return "a grammar (--grammar, --json-schema)" if grammar else ""
