"""The tree of errors: each crosses from one process to another, whole."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import Chain, Session
from decodekit.distribution.disclosure import ALL, Undisclosed
from decodekit.errors import DecodekitError, PluginError, TraceError
from decodekit.testing import NGramAdapter


def classes() -> list[type[DecodekitError]]:
    """Every error of the core and of the adapters and plugins that are installed."""
    for name in ("decodekit", "decodekit_remote", "decodekit_llamacpp", "decodekit_torch", "decodekit_sampling"):
        try:
            package = importlib.import_module(name)
        except ImportError:
            continue
        for module in pkgutil.walk_packages(package.__path__, name + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def below(kind: type[DecodekitError]) -> Iterator[type[DecodekitError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    ours = {each for each in below(DecodekitError) if each.__module__.startswith("decodekit")}
    return sorted(ours, key=lambda kind: kind.__qualname__)


MADE: dict[str, dict[str, Any]] = {
    "DistributionError": {"stage": "top_k", "step": 3},
    "EmptySupport": {"stage": "top_k", "step": 3},
    "Fault": {"step": 3, "torn": 17},
    "PluginError": {"plugin": "top_k", "step": 3},
    "Refused": {"status": 503, "again": True, "wait": 2.5},
    "TraceError": {"step": 3},
}


def made(kind: type[DecodekitError]) -> DecodekitError:
    if issubclass(kind, Undisclosed):
        return kind(ALL, "its entropy")
    return kind("what went wrong", **MADE.get(kind.__name__, {}))


def crossed(error: DecodekitError) -> list[DecodekitError]:
    """The error by every way that rebuilds it."""
    pickled = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    return [*pickled, copy.copy(error), copy.deepcopy(error)]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__qualname__)
def test_every_error_of_the_tree_crosses_with_its_message_and_attributes(kind: type[DecodekitError]) -> None:
    error = made(kind)
    error.add_note("a note")
    for other in crossed(error):
        assert type(other) is kind
        assert str(other) == str(error) and other.args == error.args
        assert vars(other) == vars(error)


def test_the_tree_is_not_empty() -> None:
    assert {"AdapterError", "Undisclosed", "PluginError", "Fault"} <= {kind.__name__ for kind in classes()}


def failing(dist: Any, ctx: Any) -> Any:
    if ctx.step == 2:
        raise RuntimeError("x")
    return dist


def generate() -> str:
    session = Session(NGramAdapter("abc " * 9), Chain([failing]), seed=1)
    return session.generate("a", max_tokens=5).text


def test_what_was_generated_before_the_error_crosses_with_it() -> None:
    with pytest.raises(PluginError) as caught:
        generate()
    for error in crossed(caught.value):
        partial = error.partial
        assert isinstance(partial, decodekit.Result)
        assert partial.text == caught.value.partial.text and len(partial.trace.steps) == 2  # type: ignore[union-attr]
        assert partial.error is error or partial is caught.value.partial  # one error, as before; copy.copy is shallow


def test_what_does_not_pickle_stays_behind_and_the_error_crosses() -> None:
    error = TraceError("m", step=3)
    error.partial = threading.Lock()  # type: ignore[assignment]
    error.add_note("a note")
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.step, other.partial, other.__notes__) == ("m", 3, None, ["a note"])
    assert copy.copy(error).partial is error.partial


WORKER = """
from decodekit import Chain, Session
from decodekit.testing import NGramAdapter

def failing(dist, ctx):
    if ctx.step == 2:
        raise RuntimeError("x")
    return dist

def generate():
    return Session(NGramAdapter("abc " * 9), Chain([failing]), seed=1).generate("a", max_tokens=5).text
"""


def test_an_error_of_a_worker_arrives_and_the_pool_lives_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's code is a module on sys.path: a spawned process imports it by name, these tests it cannot."""
    (tmp_path / "decodekit_test_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    worker = importlib.import_module("decodekit_test_worker")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in range(2):
            with pytest.raises(PluginError, match=r"plugin 'failing', step 2: .*RuntimeError: x"):
                pool.submit(worker.generate).result(timeout=120)
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(PluginError) as caught:
        pool.apply_async(worker.generate).get(timeout=120)
    assert (caught.value.plugin, caught.value.step, len(caught.value.partial.token_ids)) == ("failing", 2, 2)
