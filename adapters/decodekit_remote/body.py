"""Reads a server's answer within limits: bytes are counted before they are kept, and their memory before parsing."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from decodekit.text.json_weight import json_weight

__all__ = ["HALF", "Broken", "Refusal", "bounded", "decoded", "joined", "lines", "mended", "parsed", "read_all", "utf8"]

MEBIBYTE = 1 << 20
MOST_OBJECTS = 64 * MEBIBYTE
"""Bytes that a parsed answer may take beyond its body."""
PER_ENTRY = 1536
"""The same for each entry of a requested list: llama-server's take 440 bytes, counted as up to 1,400."""

HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which is no character."""
_LINE_END = re.compile(rb"[\r\n]")


class Refusal(Exception):
    """The answer is refused; the message follows the address of the server."""


class Broken(Refusal):
    """The answer is incomplete, so the question may be sent again."""


async def decoded(raw: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """A decoded body, at most a mebibyte at a time. Compression is not requested; some servers compress anyway.

    Raises:
        Refusal: an unknown coding, or one that is broken.
    """
    if coding in ("", "identity"):
        async for chunk in raw:
            yield chunk
        return
    if coding not in ("gzip", "deflate"):
        raise Refusal(f"compressed its answer with {coding!r}, which was not requested")
    unpack = zlib.decompressobj(47)
    try:
        async for chunk in raw:
            while chunk:
                yield unpack.decompress(chunk, MEBIBYTE)
                chunk = unpack.unconsumed_tail
    except zlib.error as error:
        raise Refusal(f"could not be understood: {error}") from None
    if not unpack.eof:
        raise Broken("sent a compressed body that ends too early")


async def read_all(body: AsyncIterator[bytes], most: int, *, cut: bool = False) -> bytearray:
    """All of a body. One that is longer than ``most`` bytes is a `Refusal`, or is cut there."""
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > most:
            if cut:
                return data[:most]
            raise Refusal(f"sent more than {most:,} bytes, which is refused")
    return data


async def bounded(body: AsyncIterator[bytes], most: int, most_line: int) -> AsyncIterator[bytes]:
    """The chunks of a stream, up to a limit on the length of a line and of the stream."""
    line = total = 0
    async for chunk in body:
        total += len(chunk)
        if total > most:
            raise Refusal(f"streamed more than {most:,} bytes, which is refused")
        for at, part in enumerate(_LINE_END.split(chunk)):
            line = len(part) + (0 if at else line)
            if line > most_line:
                raise Refusal(f"sent a line of more than {most_line:,} bytes, which is refused")
        yield chunk


async def lines(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Lines, which end only at LF: a text may contain U+2028. A last part without LF is incomplete and is dropped."""
    held = bytearray()
    async for chunk in body:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            held += part
            if held.strip():
                yield bytes(held)
            held.clear()
        held += rest


async def utf8(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a text, without a byte order mark at its start. Raises `Refusal` for bytes that are no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        async for chunk in body:
            yield decoder.decode(chunk).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise Refusal(f"sent a text that is not UTF-8 (the byte {error.object[error.start]:#04x})") from None


def parsed(data: bytes | bytearray, most: int = MOST_OBJECTS, *, halves: bool = False) -> Any:
    """Parsed JSON, with U+FFFD in place of lone surrogates, unless ``halves`` are kept.

    Raises:
        Refusal: its objects would take more than ``most`` bytes.
        ValueError, RecursionError: it is not JSON.
    """
    if json_weight(data) > most:
        raise Refusal(f"sent JSON whose parts would take more than {most >> 20} MiB, which is refused")
    answer = json.loads(data.decode("utf-8-sig"))
    return mended(answer) if b"\\u" in data and not halves else answer


def mended(value: Any) -> Any:
    """The same JSON with U+FFFD in place of lone surrogates."""
    if isinstance(value, str):
        return HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [mended(each) for each in value]
    if isinstance(value, dict):
        return {mended(name): mended(each) for name, each in value.items()}
    return value


def joined(text: str) -> str:
    """A text with its surrogate pairs as characters; lone halves stay."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") if HALF.search(text) else text
