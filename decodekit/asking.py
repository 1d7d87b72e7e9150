"""Asking an adapter: one lock around its verb, and a check of what comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from decodekit.disclosure import CHEAP, Disclosure
from decodekit.distribution import Distribution
from decodekit.errors import AdapterError, DecodekitError, DistributionError
from decodekit.prefix import Prefix
from decodekit.protocols import Adapter, AdapterInfo, Answer, AsyncAdapter, Tokenizer

__all__ = ["BlockingAdapter", "ask", "blocking"]

_locks: WeakKeyDictionary[Adapter, threading.Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


def ask(
    adapter: Adapter, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
) -> list[Answer]:
    """``adapter.predict`` behind the adapter's lock, each answer checked.

    Raises:
        AdapterError: the adapter raised, or did not answer one item per prefix.
    """
    with _lock_of(adapter):
        try:
            answers = adapter.predict(prefixes, disclose)
        except DecodekitError:
            raise
        except Exception as error:
            raise AdapterError(f"adapter {adapter.info.name!r} raised {type(error).__name__}: {error}") from error
    if len(answers) != len(prefixes):
        raise AdapterError(f"adapter {adapter.info.name!r} gave {len(answers)} answers to {len(prefixes)} prefixes")
    vocab_size = adapter.info.vocab_size
    return [_checked(answer, vocab_size, adapter.info.name) for answer in answers]


def _checked(answer: Answer, vocab_size: int | None, name: str) -> Answer:
    if isinstance(answer, DistributionError) and answer.stage is None:
        return type(answer)(answer.message, stage="adapter")
    if isinstance(answer, DecodekitError):
        return answer
    if not isinstance(answer, Distribution):
        return AdapterError(f"adapter {name!r} answered with {type(answer).__name__}, not with a Distribution")
    if vocab_size is not None and answer.vocab_size != vocab_size:
        return DistributionError(
            f"adapter {name!r} has a vocabulary of {vocab_size} and answered with one of {answer.vocab_size}",
            stage="adapter",
        )
    return answer


def _lock_of(adapter: Adapter) -> threading.Lock:
    with _locks_guard:
        return _locks.setdefault(adapter, threading.Lock())


def blocking(adapter: Adapter | AsyncAdapter) -> Adapter:
    """The adapter itself, or a blocking facade over an async one."""
    if isinstance(adapter, Adapter):
        return adapter
    if isinstance(adapter, AsyncAdapter):
        return BlockingAdapter(adapter)
    raise AdapterError(f"{type(adapter).__name__} has neither predict nor apredict; see decodekit.protocols.Adapter")


class BlockingAdapter:
    """An async adapter seen from blocking code: one background thread with a loop of its own.

    Args:
        adapter: the async adapter; `close` closes it and ends the thread.
    """

    def __init__(self, adapter: AsyncAdapter) -> None:
        self.adapter = adapter
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="decodekit-adapter", daemon=True)
        self._thread.start()

    @property
    def info(self) -> AdapterInfo:
        return self.adapter.info

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.adapter.tokenizer

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """See `Adapter.predict`. An interrupt while waiting cancels the question."""
        if self._loop.is_closed():
            raise AdapterError(f"adapter {self.info.name!r} is closed")
        waiting = asyncio.run_coroutine_threadsafe(self.adapter.apredict(prefixes, disclose), self._loop)
        try:
            return waiting.result()
        finally:
            waiting.cancel()

    def close(self) -> None:
        """Close the adapter and end the thread. Does nothing the second time."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self.adapter.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
