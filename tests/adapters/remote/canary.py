"""A key that servers repeat: in every encoding, at every place, and how to find it again."""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from tests.adapters.remote.servers import respond

__all__ = ["CANARY", "ENCODINGS", "PLACES", "leaks"]

CANARY = "sk-CANARY/7f3a+Qx==z9"
_RUN = 8

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "JSON in JSON": lambda key: json.dumps(key.replace("/", "\\/")),
    "unicode escapes": lambda key: "".join(f"\\u{ord(each):04x}" for each in key),
    "escapes of some letters": lambda key: "".join(f"\\u{ord(c):04X}" if i % 3 else c for i, c in enumerate(key)),
    "python": lambda key: "".join(f"\\x{ord(each):02x}" for each in key),
    "URL": lambda key: quote(key, safe=""),
    "URL twice": lambda key: quote(quote(key, safe=""), safe=""),
    "HTML numbers": lambda key: "".join(f"&#x{ord(each):X};" for each in key),
    "HTML names": lambda key: html.escape(key).replace("/", "&sol;").replace("+", "&plus;").replace("=", "&equals;"),
    "hex": lambda key: key.encode().hex(),
    "hex apart": lambda key: key.encode().hex(" ").upper(),
    "a list of bytes": lambda key: json.dumps(list(key.encode())),
    "hex with colons": lambda key: key.encode().hex(":"),
    "hex of each byte": lambda key: " ".join(f"0x{each:02x}" for each in key.encode()),
    "octal": lambda key: "".join(f"\\{each:03o}" for each in key.encode()),
    "long unicode escapes": lambda key: "".join(f"\\U{ord(each):08x}" for each in key),
    "HTML numbers with zeros": lambda key: "".join(f"&#000000{ord(each)};" for each in key),
    "a list of letters": lambda key: json.dumps(list(key)),
    "python's list of letters": lambda key: repr(list(key)),
    "base64 of UTF-16": lambda key: base64.b64encode(key.encode("utf-16")).decode(),
    "base64 of base64": lambda key: base64.b64encode(base64.b64encode(key.encode())).decode(),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of basic authentication": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "base64 of a header": lambda key: base64.urlsafe_b64encode(f"Bearer {key}\r\n".encode()).decode(),
    "base32": lambda key: base64.b32encode(key.encode()).decode(),
    "base85": lambda key: base64.b85encode(key.encode()).decode(),
    "base85 of a header": lambda key: base64.b85encode(f"Bearer {key}".encode()).decode(),
    "Ascii85": lambda key: base64.a85encode(f"x-key: {key}".encode()).decode(),
    "reversed": lambda key: key[::-1],
    "rot13": lambda key: codecs.encode(key, "rot13"),
    "upper case": lambda key: key.upper(),
    "cut in front": lambda key: key[5:],
    "cut behind": lambda key: key[:13],
    "in two lines": lambda key: key[:10] + "\n" + key[10:],
    "UTF-16": lambda key: "\0".join(key),
}


def _header(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _long(text: str) -> bytes:
    body = ("x" * ((64 << 10) - 12 - len(text) // 2) + text).encode()  # read up to the middle of it
    return b"HTTP/1.1 401 X\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _raw(head: str, body: bytes = b"{}") -> bytes:
    return f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


PLACES: dict[str, Callable[[str], bytes]] = {
    "an error's message": lambda text: respond(401, {"error": {"message": f"bad key {text}"}}),
    "an error's body": lambda text: _raw("500 X", f"<h1>{text}</h1>".encode()),
    "a refusal to wait": lambda text: respond(429, {"detail": text}, "retry-after: 4000"),
    "a redirect": lambda text: _raw(f"302 X\r\nlocation: http://elsewhere/?key={_header(text)}"),
    "a line that is no header": lambda text: _raw(f"200 OK\r\n{_header(text)}"),
    "the status line": lambda text: _raw(f"401 {_header(text)}"),
    "a status line that is none": lambda text: _raw(f"4x1 {_header(text)}"),
    "the content type": lambda text: _raw(f"200 OK\r\ncontent-type: {_header(text)}", b"no"),
    "the content coding": lambda text: _raw(f"200 OK\r\ncontent-encoding: {_header(text)}"),
    "what is no JSON": lambda text: _raw("200 OK", f"key {text}".encode()),
    "the cut of a long body": _long,
    "a key of a list": lambda text: respond(200, _choice({text: -1.0}, "token_id:1")),
    "a chosen token": lambda text: respond(200, _choice({"token_id:1": -1.0}, text)),
    "another shape": lambda text: respond(200, {"choices": text}),
    "an index": lambda text: respond(200, {"choices": [{"index": text}]}),
    "the model's name": lambda text: respond(200, {**_choice({"token_id:1": -1.0}, "token_id:1"), "model": text}),
}


def _choice(top: dict[str, float], token: str) -> dict[str, object]:
    told = {"tokens": [token], "top_logprobs": [top], "token_logprobs": [-1.0]}
    return {"choices": [{"index": 0, "text": "", "finish_reason": "length", "logprobs": told}]}


def leaks(text: str) -> list[str]:
    """Eight letters of the canary in a row that stand in a text, in any of the encodings. Shares no code with ours."""
    plain = text
    readings = [text]
    for _ in range(3):
        plain = re.sub(r"\\+(?:u00|U000000|x)([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), plain)
        plain = re.sub(r"\\+([01][0-7]{2})", lambda found: chr(int(found[1], 8)), plain)
        plain = html.unescape(unquote(plain)).replace("\\", "")
        readings.append(plain)
    seen = ["".join(each for each in reading if each.isprintable() and each != " ").lower() for reading in readings]
    parts = [CANARY[at : at + _RUN] for at in range(len(CANARY) - _RUN + 1)]
    hidden = [",".join(str(each) for each in part.encode()) for part in parts] + [part.encode().hex() for part in parts]
    hidden += [part.encode().hex(":") for part in parts] + ['","'.join(part) for part in parts]
    hidden += ["','".join(part) for part in parts] + [
        "".join(f"0x{each:02x}" for each in part.encode()) for part in parts
    ]
    hidden += [part[::-1] for part in parts] + [codecs.encode(part, "rot13") for part in parts]
    for group in range(len(CANARY) - 7):  # two whole groups, at every place where a group may begin
        hidden += [
            encode(CANARY[group : group + 8].encode()).decode() for encode in (base64.b85encode, base64.a85encode)
        ]
    wide = base64.b64encode(CANARY.encode("utf-16")).decode()
    twice = base64.b64encode(base64.b64encode(CANARY.encode())).decode()
    hidden += [each[at : at + 24] for each in (wide, twice) for at in range(4, len(each) - 28)]
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + CANARY.encode()).decode().strip("=")
        for each in (coded, coded.replace("+", "-").replace("/", "_")):
            hidden += [each[at : at + 12] for at in range(shift + 1, len(each) - 12)]
    coded = base64.b32encode(CANARY.encode()).decode().strip("=")
    hidden += [coded[at : at + 14] for at in range(len(coded) - 14)]
    return [part for part in [*parts, *hidden] if any(part.lower() in reading for reading in seen)]
