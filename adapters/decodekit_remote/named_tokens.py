"""The values of named tokens at a server that cannot be asked for ids: from its longest list, and its choices.

A text that only one token has names that token in a list. A token whose text others have too is
chosen by the server when its logit is raised, and then its own value is in the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Position, Request
from decodekit_remote.raised_logits import RaisedLogits
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import KnownVocabulary

__all__ = ["named_tokens"]

_FEW = 2  # tokens: that many choices take no longer than a list of the whole vocabulary
_MOST_CHOICES = 64
_LEAST = -60.0
"""Nats: a token that comes with no list, such as an end of text, is looked for down to this logprob."""


async def named_tokens(server: Server, question: Request, known: Mapping[int, float], ids: Sequence[int]) -> Position:
    """The known tokens and these ids, with their logprobs in nats.

    Args:
        server: one whose choice can be moved while the values that it reports stay.
        question: a question for the list after the prefix.
        known: the logprobs of tokens there.
        ids: the tokens that are asked for; an end of text below -60 nats is left out.

    Raises:
        AdapterError: the server chose another token, or cannot be asked here.
    """
    vocabulary, values = server.vocabulary, dict(known)
    assert isinstance(vocabulary, KnownVocabulary)
    alone = {token for token in ids if token not in values and not vocabulary.sharing(vocabulary.text_of(token))}
    if len(alone) > _FEW:
        listed = await _listed(server, vocabulary, question)
        values |= {token: listed[token] for token in alone & listed.keys()}
    raised = RaisedLogits(server, vocabulary, question, known)
    rest = [token for token in ids if token not in values]
    if rest and (len(rest) > _MOST_CHOICES or not raised.usable or not all(raised.can_raise([each]) for each in rest)):
        raise ProviderError(f"{len(rest)} tokens have the texts of others, and cannot be chosen one by one here")
    for token in rest:
        if token not in vocabulary.tokenizer.eos_ids or await raised.reach([token], _LEAST):
            values[token] = await raised.value_of(token, _LEAST)
    return Position(None, list(values), list(values.values()))


async def _listed(server: Server, vocabulary: KnownVocabulary, question: Request) -> dict[int, float]:
    """The tokens of the longest list that have a text of their own, with their logprobs."""
    (reply,) = await server.put(replace(question, top=server.capabilities.most_top, tokens=1))
    if not reply.positions:
        raise ProviderError("the server gave no list")
    position = reply.positions[0]
    ids = vocabulary.identify(position.tokens)
    return {token: float(value) for token, value in zip(ids, position.logprobs, strict=True) if token is not None}
