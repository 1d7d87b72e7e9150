"""What all constraints share: a grammar as a mask on the distribution."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import CHEAP, Choice, Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer_cache import cached_for
from decodekit_grammar.matcher import Matcher
from decodekit_grammar.number_length import NumberLength
from decodekit_grammar.thinking import Opening, opening_of, without_thinking
from decodekit_grammar.vocabulary import Vocabulary, vocabulary_of

__all__ = ["Constraint", "Place"]

_MOST_NAMED = 128  # allowed tokens that are asked for by name: as many as a server of vLLM gives


@dataclass(frozen=True, slots=True)
class Place:
    """The state of a constraint.

    Args:
        matcher: the place in the grammar.
        number: how long the number is that is being written; None where that has no bound.
        ended: an end-of-text token was written.
    """

    matcher: Matcher
    number: NumberLength | None = None
    ended: bool = False

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool[vocabulary], the tokens that may come next."""
        mask = self.matcher.mask
        return mask if self.number is None else self.number.bounded(mask)

    def after(self, token_id: int, vocabulary: Vocabulary) -> Place:
        """The place after this token."""
        if token_id in vocabulary.eos_ids and self.matcher.accepting:
            return Place(self.matcher, self.number, True)
        matcher = self.matcher.after(token_id)  # first: it refuses an id that is no token
        return Place(matcher, None if self.number is None else self.number.after(vocabulary.tokens[token_id]))


class Constraint(Plugin):
    """A processor that allows the texts of a grammar and no others. A subclass has `expression`.

    The constraint begins with the first generated token: an assistant's message that is continued is not a part of it.
    """

    kind: ClassVar[Kind] = "mask"
    needs_state: ClassVar[bool] = True
    random: ClassVar[bool] = False

    forcing: Literal["canonical", "free"] = "canonical"
    after: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    opened_by: Annotated[str, Field(min_length=1, max_length=200)] = "<think>"

    @property
    def expression(self) -> str:
        """The right side of a rule in llguidance's dialect of Lark; ``@side`` stands for the grammar `side`."""
        raise NotImplementedError

    @property
    def side(self) -> str | None:
        """A grammar of its own that `expression` refers to; None for none."""
        return None

    def more_rules(self, control: Mapping[str, int]) -> str:
        """Further rules in Lark that `expression` refers to.

        Args:
            control: the ids of the control tokens, by their markup.
        """
        return ""

    @property
    def longest_number(self) -> int | None:
        """The most characters of a number outside of strings; None for no bound."""
        return None

    def parse(self, text: str) -> Any:
        """The value of a complete text."""
        return self.constrained(text)

    def constrained(self, text: str) -> str:
        """The part of a text that the constraint is for: what follows the thinking."""
        return text if self.after is None else without_thinking(text, self.after, self.opened_by)

    def grammar(self, opening: Opening | None = None, control: Mapping[str, int] = MappingProxyType({})) -> str:
        """The whole grammar as llguidance reads it: Lark, or where there are two grammars, a JSON object of them.

        Args:
            opening: what comes before the constrained text; None for nothing.
            control: the ids of the control tokens, by their markup.
        """
        options = '%llguidance {"no_forcing": true}' if self.forcing == "free" else "%llguidance {}"
        rules = f"start: {self.expression}" if opening is None else f"{opening.rules}\nbody: {self.expression}"
        rules = f"{rules}\n{self.more_rules(control)}"
        if self.side is None:
            return f"{options}\n{rules}\n"
        if opening is None:
            return f"{options}\n{self.side}\n"
        named = [("start", f"{options}\n{rules}\n"), ("side", self.side)]
        return json.dumps({"grammars": [{"name": name, "lark_grammar": text} for name, text in named]})

    def needs(self, ctx: Context, place: Place) -> Disclosure:
        """The tokens that may come next where they are few."""
        mask = place.mask
        if np.count_nonzero(mask) > _MOST_NAMED:
            return CHEAP
        return Disclosure(None, tuple(mask.nonzero()[0].tolist()))

    def initial(self, ctx: Context) -> Place:
        """The place before the first token that may be generated.

        Raises:
            ParameterError: the vocabulary cannot be read, or cannot write the grammar.
        """
        vocabulary = vocabulary_of(ctx.tokenizer)
        opening = None if self.after is None else opening_of(ctx, self.after, self.opened_by)
        grammar = self.grammar(opening, getattr(ctx.tokenizer, "control_tokens", {}))
        matcher = cached_for(ctx.tokenizer, (Constraint, grammar), lambda: Matcher.start(vocabulary, grammar))
        most = self.longest_number
        place = Place(matcher, None if most is None else NumberLength.start(ctx.tokenizer, vocabulary, most))
        for token_id in ctx.output_ids:
            place = place.after(token_id, vocabulary)
        return place

    def __call__(self, dist: Distribution, ctx: Context, place: Place) -> Distribution:
        """Exact wherever the draw can be decided; hidden tokens that are allowed stay hidden."""
        if place.ended:
            return dist
        mask, size = place.mask, dist.vocab_size
        if size is not None and size != len(mask):
            if size < len(mask):
                raise ParameterError(
                    f"the tokenizer has {len(mask)} tokens and the model {size}: it is not the model's own"
                )
            mask = np.concatenate([mask, np.zeros(size - len(mask), dtype=np.bool_)])  # a padded vocabulary
        return dist.allow(mask)

    def advance(self, place: Place, choice: Choice, ctx: Context) -> Place:
        """The place after the chosen token."""
        return place if place.ended else place.after(choice.token_id, vocabulary_of(ctx.tokenizer))

    def complete(self, place: Place) -> bool:
        """Whether the text may end here."""
        return place.ended or place.matcher.accepting

    def forced(self, place: Place) -> list[int]:
        """The ids of the text that must come next."""
        return [] if place.ended else place.matcher.forced
