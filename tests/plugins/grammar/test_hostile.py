"""Hostile grammars are refused with a typed error or serve within a second and 256 MB; the next request works."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import Choice, Context, ParameterError, processor
from decodekit.draw.context import TokenIds
from tests.plugins.grammar.hostile import HOSTILE
from tests.plugins.grammar.models import tokenizer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a forked process")

TOKENS = tokenizer()
SECONDS, MEMORY = 1, 256 << 20
STEPS = 8
SOME = [
    "regex: bounded bounds",
    "regex: look-ahead",
    "lark: ambiguous sum",
    "json_schema: enum of 5,000",
    "json_schema: references that double",
    "json_schema: long chain",
    "json_schema: many multiples",
    "json_schema: 400 deep, additionalProperties",
    "regex: nothing",
    "choice: 20,000",
]


def run(part: Any, steps: int) -> None:
    """Draw tokens: of those that are allowed another one each time."""
    ctx = Context(TokenIds([0]), TokenIds(), TOKENS)
    place = part.initial(ctx)
    for step in range(steps):
        allowed = place.mask.nonzero()[0].tolist()
        assert allowed
        if place.ended:
            return
        if step == 0:
            part.forced(place)
        place = part.advance(place, Choice(allowed[step * 7 % len(allowed)], 0.0), ctx)


def request(name: str, value: Any) -> str:
    """One request."""
    try:
        run(processor(name, **{name: value}), STEPS)
    except ParameterError as error:
        return f"refused: {error}"
    return "served"


def limited(name: str) -> tuple[int, str]:
    """A request, and another one, in a process of its own with limits: its status, and what the first one gave."""
    kind, made = HOSTILE[name]
    value = made()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 9
        try:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            os.write(writing, request(kind, value).encode(errors="replace")[:3000])
            run(processor("choice", choice=["yes", "no"]), 4)
            status = 0
        except BaseException as error:
            os.write(writing, repr(error).encode(errors="replace")[:3000])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    return os.waitpid(pid, 0)[1], said


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in HOSTILE])
def test_a_hostile_grammar(name: str) -> None:
    run(processor("choice", choice=["yes", "no"]), 4)  # what the first request loads is not counted
    status, said = limited(name)
    assert status == 0, said
    assert said == "served" or (said.startswith("refused") and len(said) < 1500)


def test_there_are_a_hundred() -> None:
    assert len(HOSTILE) >= 100 and set(SOME) <= set(HOSTILE)
