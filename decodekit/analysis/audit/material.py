"""The texts of an audit: a model writes them once, and every axis asks for the same prefixes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.draw.context import Context
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import multinomial
from decodekit.errors import ParameterError, brief
from decodekit.model.adapter import Adapter
from decodekit.model.prefix import Prefix

__all__ = ["PROMPTS", "Place", "Rows", "Text", "drawn", "most_of", "others_of", "prompts_of"]

PROMPTS: Final = (
    "The capital of France is",
    "Once upon a time there was a small house at the edge of",
    "def add(left, right):\n    return",
    "1, 1, 2, 3, 5, 8,",
)

Place = tuple[int, int]
"""The index of a text, and the index of one of its tokens."""

Rows = dict[Place, Distribution]
"""What a model answered, by the place whose token comes next."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was drawn from the model.

    Args:
        prefixes: the prefix before each of its tokens; the first is the prompt.
        ids: its tokens.
    """

    prefixes: tuple[Prefix, ...]
    ids: tuple[int, ...]

    @property
    def prompt(self) -> Prefix:
        """What it continues."""
        return self.prefixes[0]


def most_of(adapter: Adapter) -> Disclosure:
    """The most that the adapter can show without tokens being named."""
    most = adapter.info.most
    return Disclosure(most.top) if most.kind == "named" and most.top else ALL


def prompts_of(adapter: Adapter, given: Sequence[str | Sequence[int]] | None) -> list[Prefix]:
    """The prompts as prefixes: texts, ids, or by default four short texts; ids where there is no tokenizer.

    Raises:
        ParameterError: there are fewer than two different ones, one is empty, or a text and no tokenizer.
    """
    tokenizer, size = adapter.tokenizer, adapter.info.vocab_size
    if isinstance(given, str):
        raise ParameterError(f"prompts is a list of two or more, not one text: {brief(given)}")
    if given is None and tokenizer is None:
        if size is None:
            raise ParameterError("the vocabulary is unknown and there is no tokenizer: give prompts of token ids")
        given = [[(first + 7 * at + at * at) % size for at in range(5)] for first in range(4)]
    begin = [] if tokenizer is None or tokenizer.bos_id is None else [tokenizer.bos_id]
    prefixes = []
    for prompt in PROMPTS if given is None else given:
        if isinstance(prompt, str):
            if tokenizer is None:
                raise ParameterError("a prompt that is a text needs an adapter with a tokenizer; give token ids")
            prompt = [*begin, *tokenizer.encode(prompt)]
        prefixes.append(Prefix(prompt))
    prefixes = list(dict.fromkeys(prefixes))
    if len(prefixes) < 2 or not all(map(len, prefixes)):
        raise ParameterError("an audit needs two or more different prompts of at least one token each")
    return prefixes


def drawn(dist: Distribution, noise: Randomness, step: int) -> tuple[int, float] | None:
    """The token that `multinomial` draws with this noise, and its margin; None where hidden tokens could win."""
    bound = noise.at(step)
    try:
        choice = multinomial(dist, Context(rng=bound), bound)
    except Undisclosed:
        return None
    return choice.token_id, choice.margin


def others_of(texts: Sequence[Text], by: int) -> list[Text]:
    """As many other texts of the same lengths: the tokens of the one that comes ``by`` later, in reverse."""
    return [_reversed(text, texts[(at + by) % len(texts)]) for at, text in enumerate(texts)]


def _reversed(text: Text, source: Text) -> Text:
    ids = [*source.prompt.token_ids, *source.ids][::-1]
    ids = (ids * (1 + (len(text.prompt) + len(text.ids)) // len(ids)))[: len(text.prompt) + len(text.ids)]
    prefixes = [Prefix(ids[: len(text.prompt)])]
    for token in ids[len(text.prompt) : -1]:
        prefixes.append(prefixes[-1].extend((token,)))
    return Text(tuple(prefixes), tuple(ids[len(text.prompt) :]))
