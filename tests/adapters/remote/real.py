"""What the tests against real servers share: the texts, the ways to ask, and what makes a difference explained."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np

import decodekit
from decodekit import Distribution, Prefix, Session, Step
from decodekit.model.adapter import Adapter
from decodekit.session.prompts import as_prefix

__all__ = [
    "BF16",
    "CHAINS",
    "DRAFTS",
    "PROMPTS",
    "acceptance",
    "answering",
    "decoded",
    "explained",
    "free_port",
    "llama_cpp_python",
    "trips",
]

BF16 = "30"  # as ggml numbers types
PROMPTS = [
    "The capital of France is",
    "Once upon a time in a small village by the sea",
    "Water is made of",
    "The three most important rules of cooking are",
    "In the year 1969, people",
    "def fibonacci(n):",
    "Dear Anna, thank you for your letter. I",
    "The difference between a frog and a toad is",
]
CHAINS = {
    "T=0.3": (0.3, [decodekit.processor("temperature", temperature=0.3)]),
    "T=0.7 top_p=0.9": (
        0.7,
        [decodekit.processor("temperature", temperature=0.7), decodekit.processor("top_p", top_p=0.9)],
    ),
    "T=1": (1.0, []),
}
DRAFTS = (1, 4, 16, "auto", "stream")


def free_port() -> int:
    """A port on loopback that no process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def answering(command: Sequence[str], url: str, *, patience: float = 60) -> Iterator[str]:
    """A server that was started and answers, until it is no more needed."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + patience
        while True:
            try:
                urllib.request.urlopen(f"{url}/v1/models", timeout=2).close()
                break
            except OSError:
                assert running.poll() is None and time.monotonic() < until, f"{command[0]} did not start"
                time.sleep(0.2)
        yield url
    finally:
        running.terminate()
        running.wait(10)


def llama_cpp_python(model: str, *more: str) -> AbstractContextManager[str]:
    """llama-cpp-python's own server with a model, on one thread."""
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model, "--port", str(port), *more]
    command += ["--host", "127.0.0.1", "--n_threads", "1", "--n_threads_batch", "1"]
    return answering(command, f"http://127.0.0.1:{port}")


def decoded(adapter: Adapter, chain: str, *, tokens: int, seed: int = 7) -> list[list[Step]]:
    """The steps of every prompt, each with a stream of its own."""
    with Session(adapter, decodekit.Chain(CHAINS[chain][1]), seed=seed) as session:
        return [list(session.stream(text, max_tokens=tokens, stream=i)) for i, text in enumerate(PROMPTS)]


def explained(
    one: Adapter, other: Adapter, chain: str, mine: list[list[Step]], theirs: list[list[Step]]
) -> tuple[int, int]:
    """How many positions are equal before each sequence's first difference, and how many sequences differ.

    A first difference must lie inside the margin that the difference of the two distributions at that very prefix
    allows, or at a token that one side's truncation removed. Anything else is an `AssertionError`.
    """
    positions = different = 0
    for text, ours, others in zip(PROMPTS, mine, theirs, strict=True):
        prefix = as_prefix(one, text)
        for ours_step, others_step in zip(ours, others, strict=False):
            if ours_step.token_id != others_step.token_id:
                drift = _drift(one, other, prefix)
                slack = 2 * drift / CHAINS[chain][0] + 1e-9
                margin = min(ours_step.choice.margin, others_step.choice.margin)
                removed = not _keeps(ours_step, others_step.token_id) or not _keeps(others_step, ours_step.token_id)
                assert margin <= slack or removed, f"{text!r}, step {ours_step.index}: margin {margin}, drift {drift}"
                different += 1
                break
            positions += 1
            prefix = prefix.extend([ours_step.token_id])
        else:
            assert len(ours) == len(others), f"{text!r}: {len(ours)} and {len(others)} tokens"
    return positions, different


def acceptance(steps: Sequence[Step]) -> list[float]:
    """For each step, how likely the draw was to be what a greedy server goes on with, by the logged distributions."""
    return [_probability(step, step.raw.top[0][0]) for step in steps]


def trips(steps: Sequence[Step], draft: int) -> float:
    """How many requests these steps are expected to take with drafts of this length, by the logged distributions.

    A Markov chain over the place in the draft. A step that asked for more took that many requests besides.
    """
    place = np.zeros(draft)  # the law of where in its draft a position stands
    place[0] = 1.0
    expected = 0.0
    for step, accepted in zip(steps, acceptance(steps), strict=True):
        expected += place[0] + len(step.asked)
        place = accepted * np.roll(place, 1)  # after the last of a draft comes the first of the next
        place[0] += 1.0 - accepted
    return float(expected)


def _probability(step: Step, token: int) -> float:
    """A token's final probability; where a tail leaves the normaliser open, as if the chain left the tail alone."""
    if not _keeps(step, token):
        return 0.0
    assert step.evidence is not None
    if step.choice.logprob is not None:
        return float(np.exp(step.choice.logprob + _score(step, token) - _score(step, step.token_id)))
    hidden = step.raw.tail.mass_high if step.raw.tail is not None and not step.entries else 0.0
    return float(np.exp(_score(step, token)) / (np.exp(step.evidence.scores).sum() + hidden))


def _score(step: Step, token: int) -> float:
    assert step.evidence is not None
    return float(step.evidence.scores[step.evidence.token_ids == token][0])


def _keeps(step: Step, token: int) -> bool:
    """Whether a token was in the final distribution, as far as the evidence shows."""
    assert step.evidence is not None
    return bool((step.evidence.token_ids == token).any())


def _drift(one: Adapter, other: Adapter, prefix: Prefix) -> float:
    """The largest difference in nats over the tokens that both show among their first twenty."""
    first, second = (adapter.predict([prefix])[0] for adapter in (one, other))
    assert isinstance(first, Distribution) and isinstance(second, Distribution)
    both = set(map(int, first.leading(20)[0])) & set(map(int, second.leading(20)[0]))
    return max(abs(first.logprob(token) - second.logprob(token)) for token in both)
