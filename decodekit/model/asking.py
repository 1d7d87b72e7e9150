"""Asking an adapter: one lock around its verb, and a check of what comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from typing import TypeVar
from weakref import WeakKeyDictionary

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.errors import AdapterError, DecodekitError, DistributionError
from decodekit.model.adapter import Adapter, AdapterInfo, Answer, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer

__all__ = ["BlockingAdapter", "ask", "blocking"]

Value = TypeVar("Value")

_locks: WeakKeyDictionary[Adapter, threading.Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()
_shared_lock = threading.Lock()  # for adapters that cannot be a key; slower together, and still right


def ask(
    adapter: Adapter, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
) -> list[Answer]:
    """``adapter.predict`` behind the adapter's lock, each answer checked.

    Raises:
        AdapterError: the adapter raised, or did not answer one item per prefix.
        DistributionError: the adapter raised it for all rows instead of answering with it for one.
    """
    name = adapter.info.name
    with _lock_of(adapter):
        try:
            answers = adapter.predict(prefixes, disclose)
        except DistributionError as error:
            raise _placed(error) from error
        except DecodekitError:
            raise
        except Exception as error:
            raise AdapterError(f"adapter {name!r} raised {type(error).__name__}: {error}") from error
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


def blocking(adapter: Adapter | AsyncAdapter) -> Adapter:
    """The adapter itself, or a blocking facade over an async one."""
    if isinstance(adapter, Adapter):
        return adapter
    if isinstance(adapter, AsyncAdapter):
        return BlockingAdapter(adapter)
    raise AdapterError(
        f"{type(adapter).__name__} has neither predict nor apredict; see decodekit.model.adapter.Adapter"
    )


class BlockingAdapter:
    """An async adapter seen from blocking code: one background thread with a loop of its own.

    Args:
        adapter: the async adapter. `close` closes it and ends the thread; `release` ends the thread only.
    """

    def __init__(self, adapter: AsyncAdapter) -> None:
        self.adapter = adapter
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._closed = False
        self._door = threading.Lock()  # nothing is handed to the loop once it is told to stop
        self._thread = threading.Thread(target=self._serve, name="decodekit-adapter", daemon=True)
        self._thread.start()

    @property
    def info(self) -> AdapterInfo:
        return self.adapter.info

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.adapter.tokenizer

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """See `Adapter.predict`. An interrupt while waiting cancels the question."""
        return self._wait(lambda: self.adapter.apredict(prefixes, disclose))

    def close(self) -> None:
        """Close the adapter and end the thread, even if the adapter raises. Does nothing the second time."""
        if not self._closed:
            try:
                self._wait(self.adapter.aclose)
            finally:
                self.release()

    def release(self) -> None:
        """End the thread and leave the adapter open: it is somebody else's."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        with self._runner:  # on the way out it cancels what still runs and closes the loop
            self._loop.run_forever()

    def _wait(self, question: Callable[[], Awaitable[Value]]) -> Value:
        """The value, or the error, of something awaited on the background loop."""
        with self._door:
            if self._closed:
                raise AdapterError(f"adapter {self.info.name!r} is closed")
            waiting = asyncio.run_coroutine_threadsafe(_carried(question), self._loop)
        try:
            value, error = waiting.result()
        except CancelledError:
            raise AdapterError(f"adapter {self.info.name!r} was closed while it was asked") from None
        finally:
            waiting.cancel()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]


async def _carried(question: Callable[[], Awaitable[Value]]) -> tuple[Value | None, BaseException | None]:
    """Errors travel as values: a KeyboardInterrupt raised inside a task would end the loop, and leave us waiting."""
    try:
        return await question(), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error
