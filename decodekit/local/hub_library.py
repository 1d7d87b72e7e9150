"""huggingface_hub as decodekit uses it: it prints nothing but a progress bar on a terminal, and shows no secret."""

from __future__ import annotations

import base64
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from decodekit.errors import ConfigError
from decodekit.log import get_logger

__all__ = ["bar_on_a_terminal", "forbidding", "library", "logged", "without_secrets"]

_USER = re.compile(r"(?<=://)[^/\s@]*@")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+")  # the address of a file's bytes is signed there
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def library() -> Any:
    """The module ``huggingface_hub``, or a `ConfigError` with the pip line."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils.logging  # which adds the handler that prints
    except ImportError as error:
        raise ConfigError(f"a model of the hub needs a library: pip install 'decodekit[hub]' ({error})") from error
    return huggingface_hub


def without_secrets(hub: Any, text: str) -> str:
    """A text without the user's token, without user and password of an address, and without signed queries."""
    user, at, _ = urlsplit(hub.constants.ENDPOINT).netloc.rpartition("@")
    basic = base64.b64encode(unquote(user).encode()).decode()  # as a server that repeats its request's headers has it
    for secret, mark in ((hub.get_token(), "[token]"), (user if at else "", "[user]"), (basic, "[user]")):
        text = text.replace(secret, mark) if secret else text
    return _QUERY.sub(r"\1", _USER.sub("", text))


def forbidding(hub: Any) -> str:
    """The environment variable that forbids to ask the hub, as it is set; empty where none does."""
    if not hub.constants.HF_HUB_OFFLINE:
        return ""
    name = next((each for each in _OFFLINE if os.environ.get(each)), _OFFLINE[0])
    return f"{name}={os.environ.get(name, '1')}"


def bar_on_a_terminal(hub: Any) -> Any:
    """The hub's progress bar, which by itself looks for a terminal for single files only."""
    base: Any = hub.utils.tqdm

    class Bar(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": options.get("disable") or not sys.stderr.isatty()})

    return Bar


class _ToOurLog(logging.Filter):
    """While a call of ours runs, huggingface_hub's lines go to the log of decodekit, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self._lock, self._calls, self._propagate = threading.Lock(), 0, True

    def filter(self, record: logging.LogRecord) -> bool:
        if not self._calls:
            return True
        get_logger().info("huggingface_hub says", text=without_secrets(library(), record.getMessage()))
        return False

    def begin(self) -> None:
        theirs = logging.getLogger("huggingface_hub")
        with self._lock:
            for handler in theirs.handlers:
                handler.addFilter(self)  # a handler keeps no filter twice
            if not self._calls:
                self._propagate, theirs.propagate = theirs.propagate, False
            self._calls += 1

    def end(self) -> None:
        with self._lock:
            self._calls -= 1
            if not self._calls:
                logging.getLogger("huggingface_hub").propagate = self._propagate


_to_our_log = _ToOurLog()


@contextmanager
def logged() -> Iterator[None]:
    """Around a call of huggingface_hub, which prints each of its attempts."""
    _to_our_log.begin()
    try:
        yield
    finally:
        _to_our_log.end()
