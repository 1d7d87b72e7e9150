"""Which tokens are behind the texts of a list that several tokens have: the server is asked.

In a list that is keyed by text, a text has the place of the first of its tokens and the value of the last. A server
whose choice can be moved without moving the values tells the tokens apart: if the logits of some tokens are raised, it
chooses the most likely of them, and says how likely that one is. To see whether a token has a value that was listed, it
is raised together with a token of known value, which is raised a little less than would make them equal.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import AdapterError
from decodekit.log import get_logger
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Position, Request
from decodekit_remote.raised_logits import NEAR, RaisedLogits
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import KnownVocabulary

__all__ = ["SameTexts"]

_SHORT = 128  # a list up to this length is told apart to its end
_LEAST = -12.0  # nats; a longer one down to this logprob
_MOST_KEPT = 256  # prefixes
_MOST_LIKELY = 24  # tokens that were found before, tried first


@dataclass
class _Told:
    """What is known after a prefix: the logprobs of tokens, in nats, and a bound on the others of each text."""

    values: dict[int, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)


class SameTexts:
    """Asks one server.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._kept: OrderedDict[bytes, _Told] = OrderedDict()
        self._likely: list[int] = []  # the token that was found last comes first

    def are_in(self, position: Position, least: Disclosure = ALL) -> bool:
        """Whether a list has texts of several tokens among those wanted, and the server can be asked which they are."""
        vocabulary = self._server.vocabulary
        if not self._server.capabilities.biases or not isinstance(vocabulary, KnownVocabulary):
            return False
        wanted = None if least.kind == "all" or least.ids else least.top
        return any(isinstance(token, str) and vocabulary.sharing(token) for token in position.tokens[:wanted])

    async def told_apart(self, prefix: Prefix, position: Position, question: Request) -> tuple[Position, float | None]:
        """The list with ids where they were found, and an upper bound on the logprobs of all other tokens, in nats.

        Where the server does not answer as such a server does, the list as it was, and None.
        """
        told = self._kept.pop(prefix.digest, None) or _Told()
        vocabulary = self._server.vocabulary
        assert isinstance(vocabulary, KnownVocabulary)
        if not self._likely:
            self._likely = sorted(vocabulary.tokenizer.eos_ids)
        try:
            answer = await _List(self._server, vocabulary, position, question, told, self._likely).told_apart()
        except AdapterError as error:
            get_logger().warning("tokens with one text could not be told apart", why=str(error))
            return position, None
        self._kept[prefix.digest] = told
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return answer


class _List:
    """One list: which of its texts are one token, and which may be several."""

    def __init__(
        self,
        server: Server,
        vocabulary: KnownVocabulary,
        position: Position,
        question: Request,
        told: _Told,
        likely: list[int],
    ) -> None:
        self._likely = likely
        self._vocabulary, self._position, self._told = vocabulary, position, told
        self._shared: dict[str, float] = {}
        self._unknown = False
        for token, value in zip(position.tokens, position.logprobs, strict=True):
            (found,) = vocabulary.identify([token])
            if found is not None:
                told.values[found] = float(value)
            elif isinstance(token, str) and vocabulary.sharing(token):
                self._shared[token] = float(value)
            else:
                self._unknown = True
        self._raised = RaisedLogits(server, vocabulary, question, told.values)
        self._asked = min(question.top, server.vocab_size or question.top)
        values = sorted(map(float, position.logprobs), reverse=True)
        self._edge = values[: question.top][-1]
        self._merged = len(values) < self._asked
        self._least = self._edge if self._asked <= _SHORT else max(self._edge, _LEAST)

    @property
    def _complete(self) -> bool:
        """Whether all tokens that were asked for are identified."""
        values = self._told.values.values()
        return not self._unknown and sum(value >= self._edge - NEAR for value in values) >= self._asked

    async def told_apart(self) -> tuple[Position, float | None]:
        """As `SameTexts.told_apart`."""
        if not self._raised.usable:  # as after half a character, where all are ""
            return self._position, None
        for text, value in sorted(self._shared.items(), key=lambda each: each[0] == ""):  # the end of a text last
            if self._complete:
                break
            if self._merged or not await self._is_one(text, value):
                await self._several(text)
        told = self._told.values
        bound = self._edge
        if not self._complete:
            left = [self._told.others.get(text, 0.0) for text in self._shared]
            bound = 0.0 if self._unknown else max([self._edge, *left])
        tokens = sorted(told, key=lambda token: -told[token])
        return Position(self._position.chosen, tokens, [told[token] for token in tokens]), bound

    async def _is_one(self, text: str, value: float) -> bool:
        """Identify the only token of a text in this list, whose value is known then."""
        sharing, told = self._vocabulary.sharing(text), self._told.values
        if any(told.get(token) == value for token in sharing):
            return True
        if not self._raised.can_raise(sharing):
            return False
        exact = [token for token in sharing if self._vocabulary.tokenizer.token_bytes(token) == text.encode()]
        found = await self._raised.reaching(sharing, value, [*exact, *self._likely])
        if found is not None:
            told[found] = value
            self._found(found)
        return found is not None

    async def _several(self, text: str) -> None:
        """Identify the tokens of a text down to the least value, and bound the others."""
        told = self._told.values
        left = [token for token in self._vocabulary.sharing(text) if token not in told]
        if self._told.others.get(text, 0.0) <= self._least:
            return
        if not self._raised.can_raise(left):
            self._told.others[text] = 0.0
            return
        while left and await self._raised.reach(left, self._least):
            found = await self._raised.reaching(left, self._least, self._likely)
            if found is None:
                break
            told[found] = await self._raised.value_of(found, self._least)
            self._found(found)
            left.remove(found)
        self._told.others[text] = self._least

    def _found(self, token: int) -> None:
        if token in self._likely:
            self._likely.remove(token)
        self._likely.insert(0, token)
        del self._likely[_MOST_LIKELY:]
