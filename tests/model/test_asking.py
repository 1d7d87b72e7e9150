"""One lock an adapter, a blocking facade over async ones, and sessions that close only what they built."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from decodekit import CHEAP, AdapterError, AdapterInfo, ContextOverflow, Distribution, ParameterError, Prefix, Session
from decodekit.model.asking import BlockingAdapter, ask, blocking
from decodekit.model.background import Background
from decodekit.threads import Bell
from tests.session.conftest import Around, V, plain, table

PATIENCE = 60  # seconds: nothing waits as long unless a test fails
INFO = replace(table().info, name="waited")


class Waited:
    """An async adapter: the table, after a while."""

    def __init__(self, wait: float = 0.0, fault: BaseException | None = None, close_fault: Exception | None = None):
        self.inner, self.wait, self.fault, self.close_fault = table(), wait, fault, close_fault
        self.info, self.tokenizer = INFO, None
        self.closed = self.cancelled = self.questions = 0
        self.begun, self.ended = threading.Event(), threading.Event()

    async def apredict(self, prefixes, disclose=CHEAP):
        self.questions += 1
        self.begun.set()
        try:
            await asyncio.sleep(self.wait)
        except asyncio.CancelledError:
            self.cancelled += 1
            self.ended.set()
            raise
        if self.fault is not None:
            raise self.fault
        return self.inner.predict(prefixes, disclose)

    async def aclose(self):
        self.closed += 1
        if self.close_fault is not None:
            raise self.close_fault


def threads() -> int:
    return sum(thread.name == "decodekit-adapter" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threads()
    yield
    assert threads() == before


def test_an_async_adapter_generates_the_same_tokens():
    with Session(Waited(), seed=3) as session:
        result = session.generate([1], max_tokens=6)
    assert result.token_ids == Session(table(), seed=3).generate([1], max_tokens=6).token_ids
    assert result.trace.header.adapter["name"] == "waited"


@pytest.mark.parametrize("fault", [ValueError("odd"), OSError("gone")])
def test_what_an_async_adapter_raises_is_an_adapter_error(fault):
    with (
        Session(Waited(fault=fault)) as session,
        pytest.raises(AdapterError, match="adapter 'waited' raised") as caught,
    ):
        session.generate([1])
    assert caught.value.__cause__ is fault


def test_a_typed_error_of_an_async_adapter_stays_what_it_is():
    with Session(Waited(fault=ContextOverflow("full"))) as session, pytest.raises(ContextOverflow, match="full"):
        session.generate([1])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_raised_inside_an_async_adapter_reaches_the_caller(interrupt, capfd):
    adapter = Waited(fault=interrupt())
    with Session(adapter, seed=1) as session:
        with pytest.raises(interrupt):
            session.generate([1])
        adapter.fault = None
        assert len(session.generate([1], max_tokens=2).token_ids) == 2
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_while_waiting_cancels_the_question(monkeypatch):
    adapter = Waited(wait=30)
    facade = BlockingAdapter(adapter)

    def interrupted(self, seconds=None):
        assert adapter.begun.wait(PATIENCE)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bell, "heard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            facade.predict([Prefix([1])])
    assert adapter.ended.wait(PATIENCE) and adapter.cancelled == 1
    adapter.wait = 0
    assert isinstance(facade.predict([Prefix([1])])[0], Distribution)
    facade.close()


class Asking(threading.Thread):
    """Asks in a thread of its own, and keeps the error."""

    def __init__(self, facade: BlockingAdapter, trace=None):
        super().__init__()
        self.facade, self.trace, self.errors = facade, trace, []
        self.start()

    def run(self):
        sys.settrace(self.trace)
        try:
            ask(self.facade, [Prefix([1])])
        except AdapterError as error:
            self.errors.append(str(error))
        finally:
            sys.settrace(None)


def test_closing_while_a_question_waits_ends_the_wait():
    adapter = Waited(wait=PATIENCE)
    facade = BlockingAdapter(adapter)
    asking = Asking(facade)
    assert adapter.begun.wait(PATIENCE)
    facade.close()  # when it returns, the loop has ended
    assert adapter.cancelled == 1
    asking.join(PATIENCE)
    assert asking.errors == ["adapter 'waited' was closed during a call"]


def test_closing_right_after_a_question_was_begun_ends_the_wait():
    """Between the begin of a question and the wait for it."""
    adapter = Waited(wait=PATIENCE)
    facade = BlockingAdapter(adapter)

    def close_once_begun(frame, event, _):
        if frame.f_code is not Background.wait.__code__ or event not in ("call", "line"):
            return None
        if "waiting" in frame.f_locals and adapter.begun.wait(PATIENCE) and not adapter.closed:
            closing = threading.Thread(target=facade.close)
            closing.start()
            closing.join(PATIENCE)
        return close_once_begun

    asking = Asking(facade, close_once_begun)
    asking.join(PATIENCE)
    assert asking.errors == ["adapter 'waited' was closed during a call"]
    assert (adapter.closed, adapter.cancelled) == (1, 1)


def test_a_facade_closes_its_adapter_once_and_then_refuses():
    adapter = Waited()
    facade = BlockingAdapter(adapter)
    facade.close()
    facade.close()
    facade.release()
    assert adapter.closed == 1
    with pytest.raises(AdapterError, match="'waited' is closed"):
        facade.predict([Prefix([1])])


def test_a_facade_ends_its_thread_even_when_closing_fails():
    facade = BlockingAdapter(Waited(close_fault=OSError("no goodbye")))
    with pytest.raises(OSError, match="no goodbye"):
        facade.close()
    facade.close()


def test_no_loop_of_ours_is_left_as_the_callers_event_loop():
    facade = BlockingAdapter(Waited())
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    facade.close()

    async def inside():
        with Session(Waited(), seed=1) as session:
            return session.generate([1], max_tokens=2).token_ids

    assert len(asyncio.run(inside())) == 2


def test_blocking_takes_an_adapter_as_it_is_and_refuses_what_is_none():
    adapter = table()
    assert blocking(adapter) is adapter
    with pytest.raises(AdapterError, match="is no adapter: it has no info, no tokenizer, no predict, no close"):
        Session(7)


# -- closing ----------------------------------------------------------------------------------------------------------


def test_a_session_leaves_an_adapter_open_that_it_was_given():
    adapter = Around(table(), plain)
    with Session(adapter, seed=1) as session:
        session.generate([1], max_tokens=1)
    assert adapter.closed == 0
    assert Session(adapter, seed=1).generate([1], max_tokens=1).token_ids


def test_a_session_leaves_an_async_adapter_open_and_ends_only_its_own_thread():
    before = threads()
    adapter = Waited()
    session = Session(adapter, seed=1)
    assert threads() == before + 1
    session.close()
    session.close()
    assert adapter.closed == 0
    with Session(adapter, seed=1) as again:
        assert again.generate([1], max_tokens=1).token_ids


@pytest.mark.parametrize("shared", [True, False])
def test_sixty_sessions_that_are_dropped_leave_no_thread_and_no_descriptor(shared):
    files, adapter = Path("/proc/self/fd"), Waited()
    old = set(threading.enumerate())
    before = len(list(files.iterdir())) if files.is_dir() else 0
    for seed in range(60):
        Session(adapter if shared else Waited(), seed=seed).generate([1], max_tokens=1)
    gc.collect()
    new = set(threading.enumerate()) - old
    for thread in new:
        thread.join(PATIENCE)
    assert (
        not any(thread.is_alive() for thread in new) and (len(list(files.iterdir())) if files.is_dir() else 0) <= before
    )


def test_a_facade_the_caller_made_is_the_callers():
    facade = BlockingAdapter(Waited())
    with Session(facade, seed=1) as session:
        session.generate([1], max_tokens=1)
    assert isinstance(facade.predict([Prefix([1])])[0], Distribution)
    facade.close()


@pytest.mark.parametrize("kind", [Around, Waited])
def test_a_session_closes_the_adapter_it_built_from_a_config(kind, monkeypatch):
    from decodekit.plugin import registry

    built = Around(table(), plain) if kind is Around else Waited()
    monkeypatch.setattr(registry, "adapter", lambda *_: built)
    with Session.from_config({"adapter": {"type": "anything"}, "session": {"seed": 4}}) as session:
        result = session.generate([1], max_tokens=3)
    assert built.closed == 1
    assert result.trace.header.config["session"]["seed"] == 4
    assert result.token_ids == Session(table(), seed=4).generate([1], max_tokens=3).token_ids


# -- threads ----------------------------------------------------------------------------------------------------------


@dataclass
class Nervous:
    """An adapter that notices when two threads are inside. A dataclass with ==, hence without a hash."""

    inside: int = 0
    most: int = 0
    info: AdapterInfo = field(default_factory=lambda: replace(INFO, name="nervous"))
    tokenizer: None = None

    def predict(self, prefixes, disclose=CHEAP):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.001)
        answers = table().predict(prefixes, disclose)
        self.inside -= 1
        return answers

    def close(self):
        pass


class Slotted:
    """An adapter that cannot be referred to weakly."""

    __slots__ = ("inner",)
    tokenizer = None
    info = INFO

    def __init__(self):
        self.inner = Nervous()

    @property
    def most(self):
        return self.inner.most

    def predict(self, prefixes, disclose=CHEAP):
        return self.inner.predict(prefixes, disclose)

    def close(self):
        pass


class Hashable(Nervous):
    __hash__ = object.__hash__


@pytest.mark.parametrize("kind", [Nervous, Slotted, Hashable])
def test_threads_share_an_adapter_one_question_at_a_time(kind):
    adapter = kind()
    found: dict[int, tuple[int, ...]] = {}

    def work(i):
        found[i] = Session(adapter, seed=i).generate([i], max_tokens=8).token_ids

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert adapter.most == 1
    assert found == {i: Session(table(), seed=i).generate([i], max_tokens=8).token_ids for i in range(6)}


def test_two_threads_on_one_session_do_not_mix():
    session = Session(table(), seed=1)
    found: dict[int, list] = {}

    def work(i):
        found[i] = [step.token_id for step in session.stream([i], max_tokens=30, stream=i)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    for i in range(4):
        assert tuple(found[i]) == session.generate([i], max_tokens=30, stream=i).token_ids


def test_the_lock_is_free_again_after_an_error():
    adapter = Around(table(), lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(AdapterError, match="ZeroDivisionError"):
            ask(adapter, [Prefix([1])])
    adapter.act = plain
    assert len(ask(adapter, [Prefix([1])])) == 1


def test_two_adapters_have_two_locks():
    """A composite asks its leaves while it is asked itself."""
    leaf = Around(table(), plain)
    whole = Around(table(), lambda _, prefixes, wanted: ask(leaf, prefixes, wanted))
    assert ask(whole, [Prefix([1])])[0].vocab_size == V


def test_an_async_predict_is_told_its_name() -> None:
    class Mixed:
        info, tokenizer = INFO, None

        async def predict(self, prefixes, disclose=CHEAP):
            return table().predict(prefixes, disclose)

        def close(self):
            pass

    with pytest.raises(AdapterError, match="an adapter has apredict and aclose in place of predict and close"):
        Session(Mixed(), seed=1).generate([1], max_tokens=1)
    with pytest.raises(ParameterError, match="AdapterInfo: vocab_size must be an integer"):
        replace(INFO, vocab_size="8")
