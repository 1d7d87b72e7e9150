"""Asking an adapter and comparing its answers: the helpers of the scenarios of `check_adapter`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import DecodekitError
from decodekit.model.adapter import Adapter, AdapterInfo, Answer, AsyncAdapter
from decodekit.model.asking import blocking
from decodekit.model.prefix import Prefix
from decodekit.testing.check_tokenizer import ordinary_ids
from decodekit.testing.comparing import difference_of, equal_bits

__all__ = ["Kit"]

_TEXTS = (
    "The capital of France is",
    "Once upon a time there was a small house at the edge of",
    "def add(left, right):\n    return",
    "1, 1, 2, 3, 5, 8,",
)


@dataclass
class Kit:
    """How to build the adapter, the answers of new instances so far, and the counts."""

    make: Callable[[], Adapter | AsyncAdapter]
    exact: bool
    tolerance: float
    rng: random.Random
    questions: int = 0
    comparisons: int = 0
    largest: float = 0.0
    skipped: list[str] = field(default_factory=list)
    colds: dict[Prefix, Distribution] = field(default_factory=dict)
    prompts: list[Prefix] = field(default_factory=list)
    ordinary: Sequence[int] = ()
    bos: int | None = None

    def learn(self, adapter: Adapter, prompts: Sequence[str | Sequence[int]] | None) -> None:
        """Keep what the checks need to know about the adapter, and make the prompts."""
        self.info = adapter.info
        self.want = ALL if adapter.info.most.kind != "named" else adapter.info.most
        tokenizer = adapter.tokenizer
        self.bos = None if tokenizer is None else tokenizer.bos_id
        self.begin = [] if self.bos is None else [self.bos]
        size = self.info.vocab_size or (None if tokenizer is None else tokenizer.vocab_size)
        given = list(prompts or (_TEXTS if tokenizer is not None else ()))
        id_lists: list[Sequence[int]] = []
        for prompt in given:
            if not isinstance(prompt, str):
                id_lists.append(list(prompt))
                continue
            assert tokenizer is not None, "prompts that are texts need an adapter with a tokenizer; give token ids"
            try:
                id_lists.append([*self.begin, *tokenizer.encode(prompt)])
            except DecodekitError:
                assert prompts is None, f"the adapter's tokenizer cannot encode the prompt {prompt!r}"
        if size is not None:
            self.ordinary = ordinary_ids(tokenizer, size, self.rng)
        else:
            self.ordinary = sorted({i for ids in id_lists for i in ids})
        if prompts is None and len(id_lists) < 2:
            if not self.ordinary:
                raise ValueError("the vocabulary is unknown and there is no tokenizer: give prompts")
            id_lists = [[*self.begin, *self.random_ids(length)] for length in (5, 9, 3, 12)]
        self.prompts = list(dict.fromkeys(Prefix(ids) for ids in id_lists if len(ids)))
        if len(self.prompts) < 2:
            raise ValueError("give at least two different prompts")

    @contextmanager
    def fresh(self) -> Iterator[Adapter]:
        """A new instance, closed at the end."""
        adapter = blocking(self.make())
        try:
            yield adapter
        finally:
            adapter.close()

    def random_ids(self, count: int) -> list[int]:
        return [self.rng.choice(self.ordinary) for _ in range(count)]

    def ask(
        self, adapter: Adapter, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] | None = None
    ) -> list[Answer]:
        """The adapter's answers to valid prefixes; none may be an error."""
        answers = self.ask_any(adapter, prefixes, disclose)
        for prefix, answer in zip(prefixes, answers, strict=True):
            assert isinstance(answer, Distribution), f"{prefix} was answered with an error: {answer!r}"
            _check_answer(answer, self.info)
        return answers

    def ask_any(
        self, adapter: Adapter, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] | None = None
    ) -> list[Answer]:
        """The adapter's answers, one for each prefix; they may be errors."""
        self.questions += len(prefixes)
        answers = adapter.predict(prefixes, self.want if disclose is None else disclose)
        assert isinstance(answers, list), f"predict returns a list, not {type(answers).__name__}"
        assert len(answers) == len(prefixes), f"predict gave {len(answers)} answers to {len(prefixes)} prefixes"
        for answer in answers:
            assert isinstance(answer, Distribution | DecodekitError), (
                f"an answer is a Distribution or a DecodekitError, not {type(answer).__name__}"
            )
        return answers

    def one(self, adapter: Adapter, prefix: Prefix, disclose: Disclosure | None = None) -> Distribution:
        (answer,) = self.ask(adapter, [prefix], disclose)
        assert isinstance(answer, Distribution)
        return answer

    def cold(self, prefix: Prefix) -> Distribution:
        """The answer of a new instance that was asked nothing else."""
        if prefix not in self.colds:
            with self.fresh() as adapter:
                self.colds[prefix] = self.one(adapter, prefix)
        return self.colds[prefix]

    def same(self, got: Answer, expected: Answer, how: str, *, exact: bool | None = None) -> None:
        """Assert that both are the same distribution: bit by bit, or within the tolerance."""
        assert isinstance(got, Distribution) and isinstance(expected, Distribution), f"{how}: {got!r}, {expected!r}"
        exact = self.exact if exact is None else exact
        self.comparisons += 1
        difference = difference_of(got, expected)
        self.largest = max(self.largest, difference)
        if exact:
            assert equal_bits(got, expected), (
                f"{how}: the bits differ, by up to {difference:.3g} nats in tokens with a probability above 1e-6. "
                f"Got {got!r}, expected {expected!r}"
            )
        else:
            assert difference <= self.tolerance, (
                f"{how}: logprobs differ by {difference:.3g} nats, more than the tolerance of {self.tolerance:.3g}. "
                f"Got {got!r}, expected {expected!r}"
            )

    def check(self, adapter: Adapter, prefixes: Sequence[Prefix], how: str) -> None:
        """Ask in one call, and compare every answer with that of a new instance."""
        for prefix, answer in zip(prefixes, self.ask(adapter, prefixes), strict=True):
            self.same(answer, self.cold(prefix), f"{how}, {prefix}")

    def fits(self, length: int) -> bool:
        return self.info.context_length is None or length <= self.info.context_length


def _check_answer(dist: Distribution, info: AdapterInfo) -> None:
    """Check one answer alone: no NaN, the right vocabulary size, and the same labels as ``info``."""
    assert info.vocab_size in (None, dist.vocab_size), (
        f"info.vocab_size is {info.vocab_size}, and a distribution has {dist.vocab_size}"
    )
    assert dist.stage == info.stage, f"info.stage is {info.stage!r}, and a distribution says {dist.stage!r}"
    if dist.token_ids is None:
        assert dist.origin == info.origin, f"info.origin is {info.origin!r}, and a distribution says {dist.origin!r}"
    row = dist.row.values
    assert not np.isnan(row).any(), "a distribution holds NaN"
    assert float(row.max()) < math.inf and float(row.max()) > -math.inf, "a distribution has no finite largest score"
    assert not row.flags.writeable, "a distribution's numbers can be written to; build it with dense() or head()"
    if info.most.kind == "all" or dist.tail is not None:
        return
    assert dist.token_ids is None or len(dist.scores) == dist.vocab_size, (
        "a list of some tokens without a tail claims that no other token has probability"
    )
