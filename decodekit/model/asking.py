"""Asking an adapter: one call of ``predict`` at a time, and a check of the answers."""

from __future__ import annotations

import inspect
import threading
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeGuard, TypeVar
from weakref import WeakKeyDictionary

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure, for_each
from decodekit.errors import AdapterError, DecodekitError, DistributionError, brief
from decodekit.fork import after_fork
from decodekit.model.adapter import Adapter, AdapterInfo, Answer, AsyncAdapter
from decodekit.model.background import Background
from decodekit.model.in_flight import in_flight
from decodekit.model.loops import OutOfTime
from decodekit.model.pickling import OfOneProcess
from decodekit.model.prefix import Prefix
from decodekit.model.rounds import Rounds
from decodekit.text.tokenizer import Tokenizer

__all__ = [
    "BlockingAdapter",
    "ask",
    "blocking",
    "cached_tokens",
    "checked",
    "connect",
    "drain",
    "is_async",
    "raise_typed",
    "rounds_of",
]

Value = TypeVar("Value")

_rounds: WeakKeyDictionary[Adapter, Rounds] = WeakKeyDictionary()
_guard = threading.Lock()


def ask(
    adapter: Adapter,
    prefixes: Sequence[Prefix],
    disclose: Disclosure | Sequence[Disclosure] = CHEAP,
    *,
    until: float | None = None,
    priority: int = 0,
    tokens: int = 0,
    caller: object = None,
) -> list[Answer]:
    """Ask an adapter, and check each answer.

    A blocking adapter is called by one thread at a time, and with the questions of several callers at once (see
    `decodekit.model.rounds`). The questions for an async adapter do not wait for one another.

    Args:
        adapter: the adapter.
        prefixes: what to continue.
        disclose: what to disclose, one for all prefixes or one for each.
        until: when to stop waiting, on the clock of ``time.monotonic``: for a round, and for an async adapter, whose
            call is cancelled then. A blocking adapter is not interrupted.
        priority: a caller with a higher one goes first.
        tokens: how many tokens of prompts are new, at most.
        caller: who asks, where it makes something of its answers that is cheaper together with other callers; see
            `decodekit.model.company`.

    Raises:
        AdapterError: the adapter raised, or did not return one item per prefix.
        DistributionError: the adapter raised it for all prefixes instead of returning it for one.
        OutOfTime: there was no answer before ``until``.
    """
    if isinstance(adapter, BlockingAdapter):
        return _ask_async(adapter, prefixes, disclose, until)
    needs = for_each(disclose, len(prefixes))
    rounds = rounds_of(adapter)
    return rounds.ask(adapter, prefixes, needs, until=until, priority=priority, tokens=tokens, caller=caller)


def _ask_now(adapter: Adapter, prefixes: Sequence[Prefix], needs: Sequence[Disclosure]) -> list[Answer]:
    name = adapter.info.name
    try:
        answers = adapter.predict(prefixes, needs)
    except (Exception, CancelledError, GeneratorExit) as error:  # nobody cancelled this call or closed it
        raise_typed(error, name)
    return checked(answers, prefixes, adapter.info)


def _ask_async(
    adapter: BlockingAdapter,
    prefixes: Sequence[Prefix],
    disclose: Disclosure | Sequence[Disclosure],
    until: float | None,
) -> list[Answer]:
    info, asked, own = adapter.info, in_flight(adapter.adapter), object()
    try:
        asked.add(own)
        answers = adapter.predict(prefixes, disclose, until=until)
    except OutOfTime:
        raise
    except (Exception, CancelledError) as error:  # nobody cancelled this call
        raise_typed(error, info.name)
    finally:
        asked.discard(own)
    return checked(answers, prefixes, info)


def drain(adapter: Adapter | AsyncAdapter) -> None:
    """Wait until a call of this adapter that was begun ahead and given up has ended. It may be closed then."""
    if not is_async(adapter) and not isinstance(adapter, BlockingAdapter):
        rounds_of(adapter).drain()  # type: ignore[arg-type]


def raise_typed(error: BaseException, name: str) -> NoReturn:
    """Raise the error of a whole call, typed."""
    if isinstance(error, DistributionError) and error.stage is None:
        raise _placed(error) from error
    if isinstance(error, DecodekitError):
        raise error
    text = str(error)
    raise AdapterError(f"adapter {name!r} raised {type(error).__name__}" + (f": {text}" if text else "")) from error


def checked(answers: Any, prefixes: Sequence[Prefix], info: AdapterInfo) -> list[Answer]:
    """The answers of an adapter, each checked.

    Raises:
        AdapterError: they are not a list with one answer per prefix.
    """
    if inspect.iscoroutine(answers):
        answers.close()
        raise AdapterError(
            f"adapter {info.name!r} has an async predict: for tasks, an adapter has apredict and aclose in place of "
            "predict and close"
        )
    if not isinstance(answers, list | Sequence):
        raise AdapterError(f"adapter {info.name!r} answered with {_kind(answers)}, not with a list of answers")
    if len(answers) != len(prefixes):
        raise AdapterError(f"adapter {info.name!r} gave {len(answers)} answers to {len(prefixes)} prefixes")
    return [_checked(answer, info.vocab_size, info.name) for answer in answers]


def _kind(answer: object) -> str:
    return "None" if answer is None else type(answer).__name__


def _checked(answer: Answer, vocab_size: int | None, name: str) -> Answer:
    if isinstance(answer, DistributionError):
        return _placed(answer)
    if isinstance(answer, DecodekitError):
        return answer
    if not isinstance(answer, Distribution):
        return AdapterError(f"adapter {name!r} answered with {_kind(answer)}, not with a Distribution")
    if vocab_size is not None and answer.vocab_size != vocab_size:
        return DistributionError(
            f"adapter {name!r} has a vocabulary of {vocab_size} and answered with one of {answer.vocab_size}",
            stage="adapter",
        )
    return answer


def _placed(error: DistributionError) -> DistributionError:
    return error if error.stage is not None else type(error)(error.message, stage="adapter", step=error.step)


def cached_tokens(adapter: Adapter | AsyncAdapter, prefix: Prefix, *, asked: bool) -> int | None:
    """How many leading tokens of a prompt the adapter need not evaluate, as it says itself; None where it does not say.

    Args:
        adapter: the adapter.
        prefix: the prompt.
        asked: whether its first answer is there. An adapter with a cache of its own says it before, others after that.
    """
    behind = adapter.adapter if isinstance(adapter, BlockingAdapter) else adapter
    tell = getattr(behind, "cached_tokens", None)
    if tell is None or asked == (getattr(behind, "caches", None) is not None):
        return None
    told = tell(prefix)
    return min(told, len(prefix)) if isinstance(told, int) and told >= 0 else None


def rounds_of(adapter: Adapter) -> Rounds:
    """The rounds of all callers of this adapter."""
    try:
        with _guard:
            return _rounds.get(adapter) or _rounds.setdefault(adapter, Rounds(_ask_now))
    except TypeError:  # no hash, or slots without __weakref__
        return _unkeyed


@after_fork
def _forget_rounds() -> None:
    """In a forked process: the thread that runs a round of the parent is not there, and its locks stay locked."""
    global _rounds, _guard, _unkeyed
    _rounds, _guard, _unkeyed = WeakKeyDictionary(), threading.Lock(), Rounds(_ask_now)


_unkeyed = Rounds(_ask_now)  # of adapters that cannot be keys: they wait for one another


def is_async(adapter: Adapter | AsyncAdapter) -> TypeGuard[AsyncAdapter]:
    """Whether an adapter is asked with `apredict`. Its `info` is not read, because that may connect."""
    return not hasattr(adapter, "predict") and callable(getattr(adapter, "apredict", None))


def blocking(adapter: Adapter | AsyncAdapter) -> Adapter:
    """The adapter itself, or a `BlockingAdapter` around an async one.

    Raises:
        AdapterError: it is neither.
    """
    if is_async(adapter):
        return BlockingAdapter(adapter)
    if isinstance(adapter, BlockingAdapter | Adapter):
        return adapter
    raise AdapterError(_no_adapter(adapter))


def _no_adapter(given: object) -> str:
    """What is given in place of an adapter, and what was meant."""
    if isinstance(given, str):
        return f"{brief(given)} is a text and no adapter; decodekit.open({brief(given)}) opens a model by its name"
    if isinstance(given, type):
        return f"{given.__name__} is a class and no adapter; make one of it: {given.__name__}(...)"
    needed = ("info", "tokenizer", "predict", "close")
    missing = [name for name in needed if inspect.getattr_static(given, name, None) is None]  # asking may connect
    what = brief(given) if type(given).__module__ == "builtins" else f"this object, of {type(given).__name__},"
    return f"{what} is no adapter: it has no {', no '.join(missing)}; see the page on writing an adapter"


def connect(adapter: Adapter, until: float | None = None) -> None:
    """Connect a `BlockingAdapter` to its backend now, before the time ``until``; other adapters need nothing.

    Raises:
        AdapterError: it could not connect, or not in time.
    """
    if isinstance(adapter, BlockingAdapter):
        adapter.connect(until)


class BlockingAdapter(OfOneProcess):
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
                self.wait(connect, until)
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
        return self.wait(lambda: self.adapter.apredict(prefixes, disclose), until)

    def close(self) -> None:
        """Close the adapter and end the thread, even if the adapter raises. Does nothing the second time."""
        if self._background is not None:
            try:
                self.wait(self.adapter.aclose)
            finally:
                self.release()

    def release(self) -> None:
        """Stop using the loop and leave the adapter open: its owner closes it."""
        background, self._background = self._background, None
        if background is not None:
            background.close()

    @property
    def is_running(self) -> bool:
        """Whether it is open and its event loop runs: at the end of the process none does, and none can be started."""
        return self._background is not None and self._background.usable

    def wait(self, question: Callable[[], Awaitable[Value]], until: float | None = None) -> Value:
        """Await something on the adapter's loop, until a time on the clock of ``time.monotonic``.

        Raises:
            OutOfTime: there was no answer before ``until``.
            AdapterError: it is closed.
        """
        if self._background is None:
            raise AdapterError(f"adapter {self._name!r} is closed")
        if not self._background.usable:  # this process is a fork
            self._background = Background(self, self.adapter, self._name)
        seconds = None if until is None else max(0.0, until - time.monotonic())
        return self._background.wait(question, seconds)
