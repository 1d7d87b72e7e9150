"""Questions to a server whose choice can be moved by raising logits, while the values that it reports stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from decodekit_remote.dialect import Request
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import KnownVocabulary

__all__ = ["NEAR", "RaisedLogits"]

NEAR = 2e-4
"""Nats: values that differ by less are taken as equal. Logits that were raised by 100 are kept to 8e-6 in float32."""

_ABOVE = 1.0  # nats by which a raised token exceeds all that are not raised
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
        other = max(self._own, key=lambda token: self._known[token])
        raised = _ABOVE - value
        bias = dict.fromkeys(tokens, raised) | {other: raised + value - NEAR / 2 - self._known[other]}
        once = any(map(self._is_part, tokens))
        if once:  # after half a character the server goes on: whole ones, a little lower, end the answer
            bias = {token: _ABOVE - 0.5 - self._known[token] for token in self._own[:_ENDING]} | bias
        chosen = await self._server.choose(replace(self._question, top=0, bias=tuple(bias.items()), once=once))
        is_other = chosen.text == self._begun + self._vocabulary.text_of(other)
        return not (is_other and chosen.tokens == len(self._question.begin) + 1)

    async def having(self, tokens: Sequence[int], value: float, likely: Sequence[int]) -> int | None:
        """The token with this logprob, which is that of the most likely one; None where it is not found."""
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

    async def highest(self, tokens: Sequence[int], text: str) -> float | None:
        """The logprob of the most likely of these tokens; None where it is not found.

        It lies between two known ones, and a list that ends there shows it as that of the text.
        """
        values = sorted(self._known.values(), reverse=True)
        low, high = 0, len(values)  # how many of them are above it
        while low < high:
            middle = (low + high) // 2
            if await self.reach(tokens, values[middle]):
                high = middle
            else:
                low = middle + 1
        # A chosen token's value would take the place of that of the text.
        unwanted = tuple(sorted(self._vocabulary.tokenizer.eos_ids.union(self._vocabulary.sharing(text))))
        (reply,) = await self._server.put(replace(self._question, top=low + 1, unwanted=unwanted))
        listed = dict(zip(reply.positions[0].tokens, reply.positions[0].logprobs, strict=True))
        value = listed.get(text)
        if value is None or (low and value > values[low - 1] + NEAR) or not await self.reach(tokens, value):
            return None
        return float(value)

    @property
    def _own(self) -> list[int]:
        """The known tokens with a readable text of their own, which this answer does not begin with."""
        begin = self._question.begin
        texts = {token: self._vocabulary.text_of(token) for token in self._known if token not in begin}
        return [token for token, text in texts.items() if text.strip() and not self._vocabulary.sharing(text)]
