"""The distributions along given texts are those of each prefix alone, in few questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decodekit import CHEAP, ContextOverflow, Prefix
from decodekit.analysis.scores.forced import forced
from decodekit.testing import NGramAdapter

TEXT = "the cat sat on the mat, and the dog sat on the log. "


class Counting:
    """A model that counts its questions."""

    def __init__(self) -> None:
        self.inner = NGramAdapter(TEXT)
        self.info, self.tokenizer = self.inner.info, self.inner.tokenizer
        self.asked: list[int] = []
        self.prefixes: list[Prefix] = []

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> Any:
        self.asked.append(len(prefixes))
        self.prefixes += prefixes
        return self.inner.predict(prefixes, disclose)

    def close(self) -> None:
        self.inner.close()


def test_each_is_the_distribution_of_its_prefix_and_short_texts_share_a_question() -> None:
    model = Counting()
    texts = [(Prefix(model.tokenizer.encode(before)), model.tokenizer.encode(after))
             for before, after in (("the ", "cat sat"), ("a", "nd"), ("the dog", " sat on. " * 50))]  # fmt: skip
    found = list(forced(model, iter(texts)))
    assert [(i, at) for i, at, _ in found] == [(i, at) for i, (_, ids) in enumerate(texts) for at in range(len(ids))]
    assert len(model.asked) == -(-len(found) // 256)
    for i, at, dist in found[::7]:
        prefix, ids = texts[i]
        (alone,) = model.inner.predict([prefix.extend(ids[:at]) if at else prefix])
        assert np.array_equal(dist.logprobs_of(np.arange(257)), alone.logprobs_of(np.arange(257)))


def test_the_prefixes_of_a_long_text_share_what_they_have_in_common() -> None:
    model = Counting()
    list(forced(model, [(Prefix([1] * 100), [2, 3] * 500)]))
    own = [len(prefix) - len(prefix.parent or ()) for prefix in model.prefixes[1:]]  # copied and hashed for each
    assert max(own) <= 64 and max(sum(1 for _ in prefix.ancestors()) for prefix in model.prefixes) <= 2 + 1000 // 64
    assert model.prefixes[-1] == Prefix([1] * 100 + ([2, 3] * 500)[:-1])


def test_a_text_that_does_not_fit_is_refused_before_it_is_asked_for() -> None:
    model = Counting()
    model.info = replace(model.info, context_length=8)
    with pytest.raises(ContextOverflow, match="12 tokens do not fit a context length of 8"):
        list(forced(model, [(Prefix([1, 2]), [3] * 10)]))
    assert model.asked == []
