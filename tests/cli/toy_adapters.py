"""Adapters for the command's tests. Copied onto the path of a subprocess, and found there by entry points."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence

from decodekit import CHEAP, AdapterError, Disclosure, Prefix
from decodekit.model.adapter import Answer
from decodekit.model.drawn import DrawnToken
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4
HOSTILE = [
    b"\x1b]0;pwned\x07",
    b"\x1b[2J\x1b[H",
    "\u202ekcab".encode(),
    b"\xc2\x9b31m",
    b"[bold]hi[/bold]",
    b"\r\x08\x7f",
]


class Toy(NGramAdapter):
    """A byte n-gram of a nursery rhyme.

    Args:
        model: which rhyme; there is only one, and a bomb.
        order: how many bytes back it looks.
        delay: seconds each answer takes; also by TOY_DELAY of the environment, which is no setting.
        fail_at: the prefix length at which it breaks; 0 for never; also by TOY_FAIL_AT.
    """

    def __init__(self, *, model: str = "rhyme", order: int = 4, delay: float = 0.0, fail_at: int = 0) -> None:
        if model == "bomb":
            raise RuntimeError("boom")
        super().__init__(TEXT, order=order)
        self._delay = delay or float(os.environ.get("TOY_DELAY", "0"))
        self._fail_at = fail_at or int(os.environ.get("TOY_FAIL_AT", "0"))

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """After a while, or never."""
        time.sleep(self._delay)
        answers = super().predict(prefixes, disclose)
        broken = AdapterError("the model \x1b[31mbroke")
        return [broken if len(p) == self._fail_at else a for p, a in zip(prefixes, answers, strict=True)]


class Awaited:
    """The nursery rhyme, from an adapter that is asked by tasks."""

    def __init__(self) -> None:
        self._rhyme = NGramAdapter(TEXT)
        self.info, self.tokenizer = self._rhyme.info, self._rhyme.tokenizer

    async def apredict(
        self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
    ) -> list[Answer]:
        """As the rhyme does."""
        return self._rhyme.predict(prefixes, disclose)

    async def aclose(self) -> None:
        """Nothing is open."""


class Drawing(Awaited):
    """A provider that draws by itself: it always writes the same letter."""

    described: Mapping[str, str] = {}

    def must_draw(self, tokens: int, conversation: bool = False) -> str:
        """Why."""
        return "it gives no logprobs"

    def drawing(self, terms: object) -> Drawing:
        """The answers of a run."""
        return self

    async def adraw(self, prefixes: Sequence[Prefix]) -> list[DrawnToken]:
        """The letter."""
        return [DrawnToken(ord("a")) for _ in prefixes]


class Hostile(TableAdapter):
    """A model whose every token is an attack on a terminal, one after the other."""

    def __init__(self) -> None:
        size = len(HOSTILE) + 1

        def row(ids: tuple[int, ...]) -> list[float]:
            return [5.0 if token == len(ids) % len(HOSTILE) else 0.0 for token in range(size)]

        super().__init__(row, size, tokenizer=PiecesTokenizer([*HOSTILE, b"x"]))


class Top3(TableAdapter):
    """A model behind an API that shows three tokens and no more."""

    def __init__(self) -> None:
        letters = PiecesTokenizer([bytes([97 + i]) for i in range(26)])
        super().__init__({(): [0.0] * 26}, 26, tokenizer=letters, most=Disclosure(3))


class Fickle(TableAdapter):
    """It says that it is deterministic, and answers differently each time."""

    def __init__(self) -> None:
        asked = itertools.count()
        super().__init__(lambda _: [0.0, next(asked) * 1e-3], 2)
