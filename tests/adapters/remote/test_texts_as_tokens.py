"""A server whose tokenizer is not known: a text that is none of its tokens is not called impossible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from decodekit import CHEAP, AdapterInfo, Distribution, ParameterError, Prefix, Session
from decodekit.analysis import forecasts_of_texts, score, temperature_curve
from decodekit_remote.vocabulary import HashedVocabulary

TOKENS = {" Paris": 0.7, " Lyon": 0.2, ".": 0.1}


class Lists:
    """It lists all tokens of its server, by their texts."""

    def __init__(self) -> None:
        self.tokenizer = HashedVocabulary()
        self.info = AdapterInfo("lists", "lists", vocab_size=self.tokenizer.vocab_size)
        self.ids = [self.tokenizer.encode(text)[0] for text in TOKENS]

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> list[Distribution]:
        size = self.tokenizer.vocab_size
        return [Distribution.listed(self.ids, [math.log(p) for p in TOKENS.values()], size) for _ in prefixes]

    def close(self) -> None:
        """Nothing is open."""


def test_ids_of_63_bits_are_forecast() -> None:
    adapter = Lists()
    text = Prefix(adapter.tokenizer.encode("The capital is")), adapter.tokenizer.encode(" Paris")
    (forecast,) = forecasts_of_texts(adapter, [text])
    assert forecast.hit and forecast.logprob == pytest.approx(math.log(0.7))


def test_a_text_of_several_tokens_is_refused_and_one_token_is_scored() -> None:
    session = Session(Lists())
    assert session.score("The capital is", " Paris").total == pytest.approx(math.log(0.7))
    assert score(Lists(), " Lyon", given="The capital is").total == pytest.approx(math.log(0.2))
    calls = (
        lambda: session.score("The capital is", " Paris, the city."),
        lambda: session.rank("The capital is", [" Paris", " Paris."]),
        lambda: score(Lists(), " Paris, the city.", given="The capital is"),
        lambda: temperature_curve(Lists(), "The capital is", [" Paris", " Paris."], [1.0]),
    )
    for call in calls:
        with pytest.raises(ParameterError, match=r"is no single token of this server.*name its tokenizer="):
            call()
