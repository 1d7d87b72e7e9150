"""Questions to a server whose choice can be moved by raising logits, while the values that it reports stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Request
from decodekit_remote.dialects.completions import NoLogprobs
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import KnownVocabulary

__all__ = ["NEAR", "RaisedLogits"]

NEAR = 2e-4
"""Nats: values that differ by less are taken as equal. Logits that were raised by 100 are kept to 8e-6 in float32."""

_ABOVE = 1.0  # nats by which a raised token exceeds all that are not raised
_FAR = 100.0  # nats, more than logits differ by
_ENDING = 64  # tokens


class RaisedLogits:
    """Questions about the tokens after one prefix.

    Args:
        server: the server.
        vocabulary: its tokens.
        question: a question for the list after the prefix.
        known: the logprobs of tokens there, in nats; it may grow.
    """

    def __init__(
        self, server: Server, vocabulary: KnownVocabulary, question: Request, known: Mapping[int, float]
    ) -> None:
        self._server, self._vocabulary, self._known = server, vocabulary, known
        self._question = replace(question, tokens=1, stream=False, unwanted=(), top=0)
        self._begun = vocabulary.tokenizer.decode(question.begin).decode("utf-8", "ignore")

    @property
    def usable(self) -> bool:
        """Whether the list has a token to compare others with."""
        return bool(self._own)

    def can_raise(self, tokens: Sequence[int]) -> bool:
        """Whether these can be raised together: no token is chosen twice where some are half characters."""
        return not any(map(self._is_part, tokens)) or set(tokens).isdisjoint(self._question.begin)

    def _is_part(self, token: int) -> bool:
        piece = self._vocabulary.tokenizer.token_bytes(token) or b""
        return piece.decode("utf-8", "ignore").encode() != piece

    async def reach(self, tokens: Sequence[int], value: float) -> bool:
        """Whether one of these tokens has at least this logprob; see `can_raise`."""
        other = self._own[0]
        raised = _ABOVE - value
        bias = dict.fromkeys(tokens, raised) | {other: raised + value - NEAR / 2 - self._known[other]}
        once = any(map(self._is_part, tokens))
        if once:  # after half a character the server goes on: whole ones, a little lower, end the answer
            bias = {token: _ABOVE - 0.5 - self._known[token] for token in self._own} | bias
        chosen = await self._server.choose(replace(self._question, top=0, bias=tuple(bias.items()), once=once))
        is_other = chosen.text == self._begun + self._vocabulary.text_of(other)
        return not (is_other and chosen.tokens == len(self._question.begin) + 1)

    async def reaching(self, tokens: Sequence[int], value: float, likely: Sequence[int]) -> int | None:
        """One of these tokens that has at least this logprob; None where none does. The likely ones are tried first."""
        for token in likely:
            if token in tokens and await self.reach([token], value):
                return token
        left = [token for token in tokens if token not in likely]
        if not left or not await self.reach(left, value):
            return None
        while len(left) > 1:
            half = left[: len(left) // 2]
            left = half if await self.reach(half, value) else left[len(half) :]
        return left[0]

    async def value_of(self, token: int, least: float) -> float:
        """The logprob of a token that has at least ``least``: when the server chooses it, its own value is in the list.

        Tokens that end a text, and BOS, come with no list; their value is found to `NEAR`.

        Raises:
            ProviderError: the server chose another one.
        """
        ends = self._vocabulary.tokenizer.eos_ids
        if token in ends:
            return await self._placed(token, least)
        once = self._is_part(token)
        bias = dict.fromkeys(self._own if once else (), _FAR / 2) | {token: _FAR}
        question = replace(self._question, top=1, bias=tuple(bias.items()), once=once, unwanted=tuple(sorted(ends)))
        try:
            (reply,) = await self._server.put(question)
        except NoLogprobs:
            return await self._placed(token, least)
        if not reply.positions:
            return await self._placed(token, least)
        text, position = self._vocabulary.text_of(token), reply.positions[0]
        if position.chosen != text:
            raise ProviderError(f"token {token} ({text!r}) was raised, and the server chose {position.chosen!r}")
        return float(position.logprobs[position.tokens.index(text)])

    async def _placed(self, token: int, least: float) -> float:
        """The logprob of a token that comes with no list: exact where a list that is cut there shows it."""
        low, high = least, 0.0
        while high - low > NEAR / 2:
            middle = (low + high) / 2
            low, high = (middle, high) if await self.reach([token], middle) else (low, middle)
        # A chosen token's value would take the place of that of the text.
        text, above = self._vocabulary.text_of(token), sum(value > high for value in self._known.values())
        unwanted = tuple(sorted(self._vocabulary.tokenizer.eos_ids.union(self._vocabulary.sharing(text))))
        (reply,) = await self._server.put(replace(self._question, top=above + 1, unwanted=unwanted))
        (position, *_) = reply.positions
        value = position.logprobs[position.tokens.index(text)] if text in position.tokens else 0.0
        return float(value) if abs(value - low) <= NEAR else low

    @cached_property
    def _own(self) -> list[int]:
        """Likely tokens with a readable text of their own, which this answer does not begin with, by falling value."""
        found: list[int] = []
        for token in sorted(self._known, key=lambda token: -self._known[token]):
            text = self._vocabulary.text_of(token)
            if token not in self._question.begin and text.strip() and not self._vocabulary.sharing(text):
                found.append(token)
                if len(found) == _ENDING:
                    break
        return found
