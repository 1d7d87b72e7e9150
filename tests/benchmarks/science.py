"""The analyses on SmolLM2: a curve over 50 temperatures, and texts scored, against what the model alone costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import decodekit
from decodekit.analysis import score, score_many, temperature_curve

from .bare_batch import BareBatch
from .decoding import Fresh, parameters_of
from .timing import Ratio, in_turns, ratio_of, seconds

TEMPERATURES = np.linspace(0.04, 2, 50)


def measure(texts: int = 8, length: int = 256, rounds: int = 3) -> Iterator[Ratio]:
    """All rows of the table. Every side starts from an empty cache; making it is not timed. The process time counts."""

    def make() -> Any:
        return decodekit.adapter("llamacpp", model="smollm2", n_threads=1, n_ctx=4096)

    fresh = Fresh(make, decodekit.Chain())
    random = np.random.default_rng(0)
    ids = random.integers(1000, 40_000, (texts, length)).tolist()
    bare = BareBatch(parameters_of(make), ())

    def timed(call: Any) -> float:
        fresh.renew()
        return seconds(lambda: call(fresh.session.adapter), time.process_time)

    def curve() -> float:
        return timed(lambda model: temperature_curve(model, ids[0][:1], [ids[0][1:65]], TEMPERATURES))

    def one_pass() -> float:
        return timed(lambda model: score(model, ids[0][1:65], given=ids[0][:1]))

    def scored() -> float:
        return timed(lambda model: [each.total for each in score_many(model, (each[1:] for each in ids), [1])])

    def evaluated() -> float:
        return seconds(lambda: bare.evaluate(ids), time.process_time)

    curve(), one_pass(), evaluated()  # once to warm up
    what = "an exact curve over 50 temperatures, an answer of 64 tokens"
    yield ratio_of(what, "scoring the answer once", in_turns(curve, one_pass, 2 * rounds), 0.5)
    pairs = in_turns(scored, evaluated, rounds)
    what = f"{texts} texts of {length} tokens, each token scored with rank and entropy"
    yield ratio_of(what, "bare C API, batches of one text with all logits", pairs, 0.9)
    bare.close()
