"""The probability of given answers under many chains, from one forced pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from decodekit.analysis.scores.forced import along
from decodekit.chain import Chain
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.asking import blocking
from decodekit.model.prefix import Prefix
from decodekit.session import Session
from decodekit.session.continuation import Continuation, known_candidates, prefix_and_tokens
from decodekit.session.prompts import Prompt
from decodekit.types import Floats

__all__ = ["chain_curve"]


def chain_curve(
    adapter: Adapter | AsyncAdapter, prompt: Prompt, answers: Sequence[Continuation], chains: Sequence[Any]
) -> Floats:
    """log P(answer | prompt) of each answer under the law of each chain: float64[answers, chains], in nats.

    The model is asked once for each prefix of an answer; the rows are kept until the end, 4 bytes for each token of the
    vocabulary.

    Args:
        adapter, prompt, answers: as for `decodekit.analysis.temperature_curve`.
        chains: chains in any form that a session takes.

    Raises:
        ParameterError: no answers, one without tokens; a chain whose law is not one distribution, as for
            `Session.score`.
        Undisclosed: the adapter disclosed too little.
        DecodekitError: the adapter's answer for a prefix, or an error of a chain.
    """
    model = blocking(adapter)
    prefix, tokens = prefix_and_tokens(model, prompt, known_candidates(answers), several=True)
    wanted: dict[Prefix, set[int]] = {}
    for ids, _, _ in tokens:
        for at, token in enumerate(ids):
            wanted.setdefault(prefix.extend(ids[:at]), set()).add(token)
    places = [(place, sorted(after)) for place, after in wanted.items()]
    kept = _Kept(model, dict(zip(wanted, along(model, places), strict=True)))
    session = Session(kept)
    found = np.empty((len(tokens), len(chains)))
    for column, chain in enumerate(chains):
        for row, (ids, _, _) in enumerate(tokens):
            scored = session.score(prefix, ids, chain=Chain.of(chain)).under_chain
            assert scored is not None
            found[row, column] = scored.total
    return found


class _Kept:
    """An adapter that answers from distributions that were asked for before."""

    def __init__(self, adapter: Adapter, rows: dict[Prefix, Answer]) -> None:
        self.info, self.tokenizer, self._rows = adapter.info, adapter.tokenizer, rows

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """See `Adapter.predict`."""
        return [self._rows[prefix] for prefix in prefixes]

    def close(self) -> None:
        """The adapter belongs to the caller."""
