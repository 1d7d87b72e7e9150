"""At 200 tokens of about 3 nats a mark is found, and without it there are as many alarms as the p-value says.

The rates of false alarms are over 99 texts, each with another key (of the self hash there are 3, because a key's table
takes long): 5 % should have a p-value below 0.05. The limits have a probability of less than 4e-5 (binomial).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

import decodekit
from decodekit import Detection

from .texts import SIZE, text


def gumbel(form: str) -> Callable[[int], Any]:
    return lambda key: decodekit.sampler("gumbel_watermark", gumbel_watermark=form, key=SecretStr(str(key)))


def processor(name: str, **parameters: Any) -> Callable[[int], Any]:
    return lambda key: decodekit.processor(name, key=SecretStr(str(key)), **parameters)


def layers(key: int) -> Any:
    keys = np.random.default_rng(key).integers(1, 2**40, 30).tolist()
    return decodekit.processor("synthid", synthid=5, key=SecretStr(",".join(map(str, keys))))


def found(mark: Any, ids: list[int], size: int = SIZE) -> Detection:
    detection: Detection = mark.detect(ids, **({"vocab_size": size} if mark.mark == "kgw" else {}))
    return detection


SELF_HASH = processor("kgw", kgw=2.0, scheme="selfhash", context_width=3)

# The mark, and the largest logarithm of a p-value that a text of 200 tokens with it may have.
MARKS: list[tuple[str, Callable[[int], Any], float]] = [
    ("vllm", gumbel("vllm"), -150.0),
    ("sglang", gumbel("sglang"), -150.0),
    ("lefthash", processor("kgw", kgw=2.0), -15.0),
    ("selfhash", SELF_HASH, -15.0),
    ("philox", processor("kgw", kgw=2.0, scheme="philox", context_width=2), -15.0),
    ("unigram", processor("unigram", unigram=2.0), -3.0),  # a vocabulary of 60 tokens has few different ones
    ("synthid", layers, -60.0),
]
every = pytest.mark.parametrize(("build", "limit"), [mark[1:] for mark in MARKS], ids=[mark[0] for mark in MARKS])


@every
def test_a_marked_text_of_200_tokens_is_found(build: Callable[[int], Any], limit: float) -> None:
    mark = build(11)
    ids = text(sampler=mark) if mark.mark == "gumbel_watermark" else text(mark)
    assert len(ids) == 200 and found(mark, ids).log_p_value < limit
    assert found(build(12), ids).log_p_value > np.log(1e-4)


@every
def test_an_unmarked_text_raises_no_more_alarms_than_it_should(build: Callable[[int], Any], limit: float) -> None:
    p = []
    for key in range(1, 100):
        ids = np.random.default_rng(key).integers(0, 5000, 200).tolist()
        p.append(found(build(key // 34 + 1 if build is SELF_HASH else key), ids, 5000).p_value)
    assert sum(each < 0.05 for each in p) < 16 and sum(each < 0.5 for each in p) < 76 and min(p) > 1e-6
