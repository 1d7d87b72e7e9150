"""Asking an adapter: one lock around ``predict``, and a check of the answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.errors import AdapterError, DecodekitError, DistributionError
from decodekit.fork import after_fork
from decodekit.model.adapter import Adapter, AdapterInfo, Answer, AsyncAdapter
from decodekit.model.background import Background, OutOfTime
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer

__all__ = ["BlockingAdapter", "ask", "blocking", "connect"]

Value = TypeVar("Value")

_locks: WeakKeyDictionary[Adapter, threading.Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()
_shared_lock = threading.Lock()  # for all adapters that cannot be a key: they wait for one another


def ask(
    adapter: Adapter,
    prefixes: Sequence[Prefix],
    disclose: Disclosure | Sequence[Disclosure] = CHEAP,
    *,
    until: float | None = None,
) -> list[Answer]:
    """Call ``adapter.predict`` with the adapter's lock held, and check each answer.

    Args:
        adapter: the adapter.
        prefixes: what to continue.
        disclose: what to disclose, one for all prefixes or one for each.
        until: when to stop waiting, on the clock of ``time.monotonic``: for the lock, and for an async adapter, whose
            call is cancelled then. A blocking adapter is not interrupted.

    Raises:
        AdapterError: the adapter raised, or did not return one item per prefix.
        DistributionError: the adapter raised it for all prefixes instead of returning it for one.
        OutOfTime: there was no answer before ``until``.
    """
    name = adapter.info.name
    lock = _lock_of(adapter)
    if not lock.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic())):
        raise OutOfTime
    try:
        if until is not None and isinstance(adapter, BlockingAdapter):
            answers = adapter.predict(prefixes, disclose, until=until)
        else:
            answers = adapter.predict(prefixes, disclose)
    except DistributionError as error:
        raise _placed(error) from error
    except (DecodekitError, OutOfTime):
        raise
    except Exception as error:
        raise AdapterError(f"adapter {name!r} raised {type(error).__name__}: {error}") from error
    finally:
        lock.release()
    if not isinstance(answers, list | Sequence):
        raise AdapterError(f"adapter {name!r} answered with {type(answers).__name__}, not with a list of answers")
    if len(answers) != len(prefixes):
        raise AdapterError(f"adapter {name!r} gave {len(answers)} answers to {len(prefixes)} prefixes")
    vocab_size = adapter.info.vocab_size
    return [_checked(answer, vocab_size, name) for answer in answers]


def _checked(answer: Answer, vocab_size: int | None, name: str) -> Answer:
    if isinstance(answer, DistributionError):
        return _placed(answer)
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


def _placed(error: DistributionError) -> DistributionError:
    return error if error.stage is not None else type(error)(error.message, stage="adapter", step=error.step)


def _lock_of(adapter: Adapter) -> threading.Lock:
    try:
        with _locks_guard:
            return _locks.setdefault(adapter, threading.Lock())
    except TypeError:  # no hash, or slots without __weakref__
        return _shared_lock


@after_fork
def _new_locks() -> None:
    """In a forked process: a lock that another thread of the parent held would stay locked for ever."""
    global _locks, _locks_guard, _shared_lock
    _locks, _locks_guard, _shared_lock = WeakKeyDictionary(), threading.Lock(), threading.Lock()


def blocking(adapter: Adapter | AsyncAdapter) -> Adapter:
    """The adapter itself, or a `BlockingAdapter` around an async one."""
    if isinstance(adapter, BlockingAdapter):
        return adapter
    if not hasattr(adapter, "predict") and callable(getattr(adapter, "apredict", None)):
        return BlockingAdapter(adapter)  # not isinstance, because that reads `info`, which may connect
    if isinstance(adapter, Adapter):
        return adapter
    raise AdapterError(
        f"{type(adapter).__name__} has neither predict nor apredict; see decodekit.model.adapter.Adapter"
    )


def connect(adapter: Adapter, until: float | None = None) -> None:
    """Connect a `BlockingAdapter` to its backend now, before the time ``until``; other adapters need nothing.

    Raises:
        AdapterError: it could not connect, or not in time.
    """
    if isinstance(adapter, BlockingAdapter):
        adapter.connect(until)


class BlockingAdapter:
    """An async adapter for blocking code: its calls are awaited on an event loop in a separate thread.

    All `BlockingAdapter` objects of one adapter share one loop. The thread ends when the last of them is closed or
    garbage-collected.

    Args:
        adapter: the async adapter. `close` closes it too; `release` does not. If it has a coroutine function
            ``connect``, that is awaited before anything else.
    """

    def __init__(self, adapter: AsyncAdapter) -> None:
        self.adapter = adapter
        self._connected = not hasattr(adapter, "connect")
        self._name = adapter.info.name if self._connected else type(adapter).__name__
        self._background: Background | None = Background(self, adapter, self._name)

    @property
    def info(self) -> AdapterInfo:
        self.connect()
        return self.adapter.info

    @property
    def tokenizer(self) -> Tokenizer | None:
        self.connect()
        return self.adapter.tokenizer

    def connect(self, until: float | None = None) -> None:
        """Connect the adapter to its backend, unless it is connected; wait until ``until`` (``time.monotonic``)."""
        if not self._connected:
            connect: Callable[[], Awaitable[None]] = self.adapter.connect  # type: ignore[attr-defined]
            try:
                self._wait(connect, until)
            except OutOfTime:
                raise AdapterError(f"adapter {self._name!r} could not connect before the deadline") from None
            self._connected = True

    def predict(
        self,
        prefixes: Sequence[Prefix],
        disclose: Disclosure | Sequence[Disclosure] = CHEAP,
        *,
        until: float | None = None,
    ) -> list[Answer]:
        """See `Adapter.predict`. An interrupt while waiting, or the time ``until``, cancels the call."""
        return self._wait(lambda: self.adapter.apredict(prefixes, disclose), until)

    def close(self) -> None:
        """Close the adapter and end the thread, even if the adapter raises. Does nothing the second time."""
        if self._background is not None:
            try:
                self._wait(self.adapter.aclose)
            finally:
                self.release()

    def release(self) -> None:
        """Stop using the loop and leave the adapter open: its owner closes it."""
        background, self._background = self._background, None
        if background is not None:
            background.close()

    def _wait(self, question: Callable[[], Awaitable[Value]], until: float | None = None) -> Value:
        if self._background is None:
            raise AdapterError(f"adapter {self._name!r} is closed")
        if not self._background.usable:  # this process is a fork
            self._background = Background(self, self.adapter, self._name)
        seconds = None if until is None else max(0.0, until - time.monotonic())
        return self._background.wait(question, seconds)
