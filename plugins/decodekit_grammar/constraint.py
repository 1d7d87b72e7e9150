"""What all constraints share: a grammar as a mask on the distribution."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from decodekit import CHEAP, Choice, Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit_grammar.json_region import Region
from decodekit_grammar.matcher import Matcher, matches
from decodekit_grammar.number_length import NumberLength
from decodekit_grammar.place import Place
from decodekit_grammar.thinking import Opening, opening_of, without_thinking
from decodekit_grammar.vocabulary import vocabulary_of

__all__ = ["Constraint"]

_MOST_NAMED = 128  # allowed tokens that are asked for by name: as many as a server of vLLM gives


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

    def json_after(self, opening: Opening | None) -> Region:
        """Where in a text JSON stands, to which `longest_number` applies."""
        return Region() if opening is None or self.after is None else Region(self.after, self.opened_by, opening.opened)

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
        if self.after is None or (not text.startswith(self.opened_by) and matches(self.grammar(), text)):
            return text
        return without_thinking(text, self.after, self.opened_by)

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
        matcher = vocabulary.started(grammar, lambda: Matcher.start(vocabulary, grammar))
        most = self.longest_number
        number = None if most is None else NumberLength.start(ctx.tokenizer, vocabulary, most, self.json_after(opening))
        place = Place(vocabulary, matcher, number)
        for token_id in ctx.output_ids:
            place = place.after(token_id)
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
        return place if place.ended else place.after(choice.token_id)

    def complete(self, place: Place) -> bool:
        """Whether the text may end here."""
        return place.ended or place.matcher.accepting

    def forced(self, place: Place) -> list[int]:
        """The ids of the text that must come next, and of what followed it before."""
        return [] if place.ended else place.expected()
