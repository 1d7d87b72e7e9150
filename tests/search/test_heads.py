"""Models that show the most likely tokens only: the same samples as of the whole model, or a typed error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from decodekit import Chain, Disclosure, Undisclosed, processor, sample_valid
from decodekit.search.valid_samples import Method
from decodekit.testing import PiecesTokenizer, TableAdapter

SIZE = 40
TOKENIZER = PiecesTokenizer([*(bytes([ord("0") + i]) for i in range(SIZE - 1)), None], eos_ids=[SIZE - 1])


def rows(ids: tuple[int, ...]) -> np.ndarray:
    row = np.random.default_rng([3, *ids]).normal(0, 2.5, SIZE)
    row[-1] += len(ids) - 1
    return row


def adapter(most: Disclosure | None = None) -> TableAdapter:
    return TableAdapter(rows, SIZE, tokenizer=TOKENIZER, **({} if most is None else {"most": most}))


def even(text: str, ended: bool) -> bool:
    """Characters of even code only, and two of them at the end."""
    return all(ord(letter) % 2 == 0 for letter in text) and (not ended or len(text) >= 2)


class Even:
    """The same with the ids that are allowed."""

    def prefix_ok(self, ids: tuple[int, ...]) -> bool:
        return even(TOKENIZER.decode(ids).decode(), False)

    def complete(self, ids: tuple[int, ...]) -> bool:
        return even(TOKENIZER.decode(ids).decode(), True)

    def allowed(self, ids: tuple[int, ...]) -> Sequence[int]:
        return [*range(0, SIZE - 1, 2), *([SIZE - 1] if self.complete(ids) else [])]


def sampled(model: TableAdapter, valid: Any, method: Method, **keywords: Any) -> Any:
    return sample_valid(model, [1], valid, n=6, method=method, seed=8, max_tokens=6, max_runs=3000, **keywords)


NAMED = Disclosure(top=8, ids=(0,))  # answers named ids beside the eight most likely tokens


@pytest.mark.parametrize("valid", [even, Even()])
@pytest.mark.parametrize("method", ["rejection", "awrs", "smc"])
def test_named_ids_are_asked_for_and_the_samples_are_those_of_the_whole_model(method: Method, valid: Any) -> None:
    whole, shown = (sampled(each, valid, method) for each in (adapter(), adapter(NAMED)))
    assert [each.token_ids for each in whole.samples] == [each.token_ids for each in shown.samples] != []
    assert [each.log_weight for each in whole.samples] == pytest.approx([each.log_weight for each in shown.samples])
    assert whole.p_valid == pytest.approx(shown.p_valid)
    assert shown.evaluated > whole.evaluated  # it had to ask again


@pytest.mark.parametrize(("method", "valid"), [("cars", even), ("smc", Even()), ("rejection", even), ("awrs", even)])
def test_what_cannot_be_asked_for_is_an_error_that_says_what_was_needed(method: Method, valid: Any) -> None:
    with pytest.raises(Undisclosed, match=r"cannot be answered: it needs .* showed 3 tokens.*another method") as raised:
        sampled(adapter(Disclosure(top=3)), valid, method)
    assert raised.value.partial.finish_reason == "error"


@pytest.mark.parametrize("method", ["rejection", "cars", "smc", "awrs"])
def test_after_a_truncation_nothing_is_hidden(method: Method) -> None:
    chain = Chain([processor("top_k", top_k=8)])
    whole, shown = (sampled(each, even, method, chain=chain) for each in (adapter(), adapter(Disclosure(top=8))))
    assert [each.token_ids for each in whole.samples] == [each.token_ids for each in shown.samples] != []
    assert whole.p_valid == pytest.approx(shown.p_valid)
