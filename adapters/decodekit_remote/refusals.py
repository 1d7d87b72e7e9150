"""A server's refusal as one of decodekit's errors, with the server's message and without the key."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from decodekit.errors import AdapterError, ContextOverflow, ModelNotFound, ProviderError

__all__ = ["Refused", "is_error", "own_message", "refusal", "retry_after", "status_of"]

LONGEST_WAIT = 120.0
"""Seconds. If a server asks for a longer wait, there is no retry (as in openai-python)."""

_LONGEST_MESSAGE = 600
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_CONTEXT = re.compile(r"context (?:length|size|window)|exceed_context|maximum context|too many tokens", re.IGNORECASE)
_NO_QUOTA = re.compile(r"insufficient_quota|billing|exceeded your current quota", re.IGNORECASE)


_STATUS = {
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "overloaded_error": 529,
}
_OF_ERRORS = frozenset({"error", "message", "detail", "code", "type", "param", "status", "status_code", "object"})


class Refused(ProviderError):
    """An attempt that failed: a `ProviderError` with what the server said of it.

    Attributes:
        status: the HTTP status; 0 when no answer came.
        again: whether the same question may be asked again.
        wait: seconds the server asked to wait, or None.
    """

    def __init__(self, message: str, *, status: int = 0, again: bool = False, wait: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.again = again
        self.wait = wait


def refusal(
    where: str, status: int, headers: Mapping[str, str], body: bytes | bytearray, clean: Callable[[str], str] = str
) -> AdapterError:
    """The error for an answer with this status.

    Args:
        where: the address that was asked.
        status: of HTTP.
        headers: the answer's.
        body: its text.
        clean: removes the key from a text.
    """
    message = own_message(body, clean)
    answered = f"{where} answered {status}" + (f": {message}" if message else "")
    if 300 <= status < 400:
        target = clean(headers.get("location", ""))[:_LONGEST_MESSAGE]
        return Refused(
            f"{answered}; redirects are not followed. Set base_url to where it points ({target!r})", status=status
        )
    if status in (400, 413, 422, 500) and _CONTEXT.search(message):
        return ContextOverflow(answered)
    if status == 404 and re.search(r"model", message, re.IGNORECASE):
        return ModelNotFound(answered)
    if status in (401, 403):
        return Refused(f"{answered}; name the variable that holds the key with api_key_env", status=status)
    if status == 404:
        return Refused(f"{answered}; is base_url right, and the dialect?", status=status)
    if (
        status not in _RETRIED
        or headers.get("x-should-retry") == "false"
        or (status == 429 and _NO_QUOTA.search(message))
    ):
        return Refused(answered, status=status)
    if status == 500 and "validation error" in message:  # llama-cpp-python refuses a malformed question with 500
        return Refused(answered, status=status)
    wait = retry_after(headers)
    if wait is not None and wait > LONGEST_WAIT:
        return Refused(f"{answered}; it asks to wait {wait:.0f} s; the limit is {LONGEST_WAIT:.0f} s", status=status)
    return Refused(answered, status=status, again=True, wait=wait)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` or ``retry-after`` (seconds or a date); None when there is no such number."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def is_error(event: Any) -> bool:
    """Whether an event of a stream is an error, in one of the forms that servers have."""
    if not isinstance(event, dict):
        return False
    if event.get("error") or event.get("object") == "error":
        return True
    said = isinstance(event.get("message"), str) or bool(event.get("detail"))
    return said and event.keys() <= _OF_ERRORS


def status_of(event: Any) -> int:
    """The status of HTTP that an error in a stream stands for; 200, that of the stream, where it names none."""
    error = event.get("error") if isinstance(event, dict) else None
    said = error if isinstance(error, dict) else event if isinstance(event, dict) else {}
    code = said.get("code")
    if type(code) is int and 400 <= code < 600:
        return code
    return next((_STATUS[kind] for kind in (said.get("type"), code) if isinstance(kind, str) and kind in _STATUS), 200)


def own_message(body: bytes | bytearray, clean: Callable[[str], str] = str) -> str:
    """The message of an error's body, in one line of at most 600 characters: first cleaned, then shortened."""
    text = body.decode("utf-8", "replace")
    try:
        found = _message(json.loads(text))
    except (ValueError, RecursionError):
        found = None
    message = clean(" ".join("".join(c if c.isprintable() else " " for c in (found or text)).split()))
    return message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"


def _message(data: Any) -> str | None:
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return _message(data[0]) if data else None
    if not isinstance(data, dict):
        return None
    for key in ("error", "message", "detail"):
        inner = _message(data.get(key))
        if inner:
            kind = data.get("type") or data.get("code")
            return f"{inner} ({kind})" if isinstance(kind, str) and kind not in inner else inner
    return None
