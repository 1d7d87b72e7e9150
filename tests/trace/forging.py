"""Traces written anew by somebody who can: any content, under a sound chain of digests and a sound footer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from decodekit.trace.codec import digest, to_line

Line = dict[str, Any]


def load(path: Path) -> list[Line]:
    """The lines of a trace as data, a torn last line left out."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def dump(lines: Sequence[Line], path: Path, tail: bytes = b"") -> Path:
    """Write these lines with digests that fit, and ``tail`` after them."""
    path.write_bytes(packed(lines) + tail)
    return path


def packed(lines: Sequence[Line]) -> bytes:
    """The bytes of these lines with digests that fit."""
    written: list[bytes] = []
    prev, contents = "", blake2b(digest_size=16)
    for each in lines:
        data = {**each, "prev": prev} if "prev" in each else dict(each)
        if each["kind"] in ("header", "step"):
            contents.update(to_line(each["content"]))
        if each["kind"] == "footer":
            data["content"] = {**each["content"], "contents": contents.hexdigest()}
            data.pop("check", None)
            body = to_line(data)[:-1]
            line = body + b',"check":"' + digest(body).encode() + b'"}'
        else:
            line = to_line(data)
        written.append(line)
        prev = digest(line)
    return b"\n".join(written) + b"\n"
