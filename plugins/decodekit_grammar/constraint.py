"""What all constraints share: a grammar as a mask on the distribution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from decodekit import CHEAP, Choice, Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit_grammar.marks import Marks, control_of, written
from decodekit_grammar.matcher import Matcher, matches
from decodekit_grammar.number_length import NumberLength
from decodekit_grammar.place import Place
from decodekit_grammar.region import Region, parts_of
from decodekit_grammar.thinking import MOST_BLANKS, Opening, opening_of, was_opened
from decodekit_grammar.vocabulary import Vocabulary, vocabulary_of

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

    def more_rules(self, control: Mapping[str, int]) -> str:
        """Further rules in Lark that `expression` refers to.

        Args:
            control: the ids of the control tokens, by their markup.
        """
        return ""

    def first_rules(self, mark: str, control: Mapping[str, int]) -> str:
        """Rules in Lark of which `first` is `expression` where the text does not begin with `mark`."""
        return "first: body"

    @property
    def longest_number(self) -> int | None:
        """The most characters of a number outside of strings; None for no bound."""
        return None

    def is_writable(self, missing: frozenset[int]) -> bool:
        """False where certainly no text can be written without these bytes."""
        return True

    def marks(self, control: Mapping[str, int]) -> Marks:
        """The marks that part a text.

        Args:
            control: the ids of the control tokens, by their markup.
        """
        return Marks.of(control, **self.mark_texts)

    @property
    def mark_texts(self) -> dict[str, str]:
        """The texts of the marks, by their names in `Marks`."""
        return {} if self.after is None else {"opened_by": self.opened_by, "after": self.after}

    def parts(self, ctx: Context) -> tuple[str, ...]:
        """The constrained parts of a complete text, `ctx.output_ids`: what follows the thinking; for tools, each call.

        Raises:
            ParameterError: there is no tokenizer.
        """
        if ctx.tokenizer is None:
            raise ParameterError("a constrained text cannot be read without a tokenizer")
        marks = self.marks(control_of(ctx.tokenizer))
        opened = self.after is not None and was_opened(ctx, self.after, self.opened_by)
        return tuple(parts_of(written(ctx.output_ids, ctx.tokenizer, marks), Region.at_start(marks, opened)))

    def value(self, parts: Sequence[str]) -> Any:
        """The value of the parts of a complete text."""
        (text,) = parts
        if self.after is None or not text.startswith((" ", "\n")):
            return text
        blanks = min(len(text) - len(text.lstrip(" \n")), MOST_BLANKS)  # before the text, if it has none of its own
        found = (text[most:] for most in range(blanks, -1, -1) if matches(self.grammar(), text[most:]))
        return next(found, text[blanks:])

    def parse(self, text: str) -> Any:
        """The value of a complete text whose prompt is not known. All marks in it are texts.

        With ``after``, a text that does not begin with ``opened_by`` is the constrained text if it can be, and else
        its prompt has opened the thinking.
        """
        marks = self.marks({})
        opened = self.after is not None and not text.startswith(self.opened_by) and not matches(self.grammar(), text)
        return self.value(tuple(parts_of(text.encode(), Region.at_start(marks, opened))))

    def grammar(self, opening: Opening | None = None, control: Mapping[str, int] = MappingProxyType({})) -> str:
        """The whole grammar as llguidance reads it: Lark, or where there are two grammars, a JSON object of them.

        Args:
            opening: what comes before the constrained text; None for nothing.
            control: the ids of the control tokens, by their markup.
        """
        options = '%llguidance {"no_forcing": true}' if self.forcing == "free" else "%llguidance {}"
        rules = f"start: {self.expression}" if opening is None else self._rules_after(opening, control)
        rules = f"{rules}\n{self.more_rules(control)}"
        if self.side is None:
            return f"{options}\n{rules}\n"
        if opening is None:
            return f"{self.side}\n{options}\n"  # so that an error counts the lines of `side`
        named = [("start", f"{options}\n{rules}\n"), ("side", self.side)]
        return json.dumps({"grammars": [{"name": name, "lark_grammar": text} for name, text in named]})

    def _rules_after(self, opening: Opening, control: Mapping[str, int]) -> str:
        body = f"{opening.rules}\nbody: {self.expression}"
        if opening.opened:
            return body
        return f"{body}\n{'first: body' if opening.mark is None else self.first_rules(opening.mark, control)}"

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
        control = control_of(ctx.tokenizer)
        grammar = self.grammar(opening, control)
        matcher = vocabulary.started(grammar, lambda: self._started(vocabulary, grammar))
        most = self.longest_number
        region = Region.at_start(self.marks(control), opening is not None and opening.opened)
        number = None if most is None else NumberLength.start(ctx.tokenizer, vocabulary, most, region)
        place = Place(vocabulary, matcher, number)
        if not place.mask.any():
            raise ParameterError("no text of this vocabulary is in the grammar")
        for token_id in ctx.output_ids:
            place = place.after(token_id)
        return place

    def _started(self, vocabulary: Vocabulary, grammar: str) -> Matcher:
        missing = vocabulary.missing
        if missing and not self.is_writable(missing):
            for byte in sorted(missing):  # leave out what is not the cause
                missing = missing if self.is_writable(missing - {byte}) else missing - {byte}
            shown = ", ".join(repr(bytes((byte,)))[1:] for byte in sorted(missing))
            raise ParameterError(f"no text of this vocabulary is in the grammar: no token has {shown}")
        return Matcher.start(vocabulary, grammar)

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
