"""Calls over one adapter that fails in many ways, each with what it gives alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from decodekit import AdapterError, Chain, DecodekitError, Prefix, Session, processor
from decodekit.testing import TableAdapter
from tests.session.conftest import Around, V, wide

__all__ = ["CHAINS", "FAILS_ALONE", "LENGTH", "RAISES", "Call", "Together", "faulty"]

RAISES, NAN = 0, 4
"""What is wrong with the third token of a prompt: its id modulo 10. Prompts of 5 and more are well."""
FAILS_ALONE = (1, 3, 4)
"""Those that get an error in the place of an answer; 0 and 2 end the whole call of ``predict``."""
LENGTH = 8


def failing(dist: Any, ctx: Any) -> Any:
    if ctx.step == 4 and ctx.prompt_ids[0] % 2:
        raise RuntimeError("this plugin")
    return dist


CHAINS = [
    Chain(),
    Chain([processor("top_k", top_k=5)]),
    Chain(
        [processor("temperature", temperature=1.4), processor("repetition_penalty", repetition_penalty=1.2)],
        "inverse_cdf",
    ),
    Chain([processor("min_p", min_p=0.01), failing]),
]


def faulty(concurrency: int = 16) -> Around:
    """An adapter that fails for the third token of some prompts, and in other ways for batches, when it is told to.

    A batch is told to fail by ``fault``, once, if no prompt in it is of 10 and more: those are of calls of several
    sequences, whose questions are batches already.
    """

    def row(ids: Sequence[int]) -> np.ndarray:
        return np.full(V, np.nan) if ids[0] % 10 == NAN and len(ids) == 3 else wide(ids)

    def act(inner: Any, prefixes: list[Prefix], wanted: list[Any]) -> Any:
        fault, adapter.fault = adapter.fault, ""
        if len(prefixes) == 1 or any(prefix.token_ids[0] >= 10 for prefix in prefixes):
            fault = ""
        if fault == "raise":
            raise OSError("the whole batch")
        answers = inner.predict(prefixes, wanted)
        if fault == "fewer":
            return answers[:-1]
        for place, prefix in enumerate(prefixes):
            if len(prefix) == 3:
                match prefix.token_ids[0] % 10:
                    case 0:
                        raise RuntimeError("this prompt")
                    case 1:
                        answers[place] = AdapterError("this prompt")
                    case 2:
                        return answers[1:]
                    case 3:
                        answers[place] = "this prompt"
        return answers

    adapter: Any = Around(TableAdapter(row, V), act, concurrency=concurrency)
    adapter.fault = ""
    return adapter  # type: ignore[no-any-return]


def end_of(error: BaseException | None) -> tuple[object, ...]:
    return (type(error), str(error).partition(":")[0]) if error is not None else (None, "")


def solo(prompt: int, options: dict[str, Any]) -> tuple[list[int], BaseException | None]:
    """The tokens of a call that is alone, and its error."""
    tokens: list[int] = []
    try:
        for step in Session(faulty()).stream([prompt], **options):
            tokens.append(step.token_id)  # noqa: PERF401 - the last one raises
    except DecodekitError as error:
        return tokens, error
    return tokens, None


class Call:
    """One call: its steps so far, and what it gives alone. One with a deadline may end before."""

    def __init__(self, prompt: int, chain: int, stream: int, *, guesses: bool, deadline: float | None) -> None:
        self.options: dict[str, Any] = {"max_tokens": LENGTH, "seed": 3, "stream": stream, "chain": CHAINS[chain]}
        self.expected, self.failure = solo(prompt, self.options)
        self.options |= {"deadline": deadline, "guesser": "prompt_lookup" if guesses else "none"}
        self.prompt = [prompt]
        self.tokens: list[int] = []
        self.ended = False
        self.error: BaseException | None = None

    def check(self) -> None:
        assert self.tokens == self.expected[: len(self.tokens)]
        if self.ended and self.options["deadline"] is None:
            assert len(self.tokens) == len(self.expected)
            assert end_of(self.error) == end_of(self.failure)


class Together:
    """A call of several sequences, which ends by itself."""

    def __init__(self, prompts: list[int], chain: int, n: int) -> None:
        self.prompts, self.n = [[prompt] for prompt in prompts], n
        self.options: dict[str, Any] = {"max_tokens": LENGTH, "seed": 3, "chain": CHAINS[chain]}
        self.expected = [
            [solo(prompt, {**self.options, "stream": i << 32 | j}) for j in range(n)]
            for i, prompt in enumerate(prompts)
        ]

    def check(self, found: Any) -> None:
        for results, expected in zip(found, self.expected, strict=True):
            for result, (tokens, error) in zip(results, expected, strict=True):
                assert list(result.token_ids) == tokens
                assert end_of(result.error) == end_of(error)
