"""Choices, regular expressions and grammars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from decodekit import ParameterError
from decodekit_grammar.constraint import Constraint
from decodekit_grammar.lark_ends import require_rules_end
from decodekit_grammar.lark_schemas import require_supported_schemas, with_prepared_schemas
from decodekit_grammar.limits import longest_forced, require_short
from decodekit_grammar.matcher import require_valid

__all__ = ["Choice", "Lark", "Regex", "begun_by"]

_CONTROL = re.compile(r"<[\[|a-zA-Z]")
_MOST_RULES = 1000
_MOST_LETTERS = 1_000_000
_SPECIAL = "\\.+*?()|[]{}^$#&-~"


class OfPattern(Constraint):
    """A constraint to the texts of one regular expression."""

    @property
    def pattern(self) -> str:
        """The regular expression."""
        raise NotImplementedError

    @property
    def expression(self) -> str:
        return _literal(self.pattern)

    def is_writable(self, missing: frozenset[int]) -> bool:
        left = "".join(f"\\x{byte:02x}" for byte in range(0x80) if byte not in missing)
        try:
            require_valid(f"start: TEXT\nTEXT: {self.expression} & /[{left}\\u{{80}}-\\u{{10ffff}}]*/")
        except ParameterError:
            return False
        return True

    def first_rules(self, mark: str, control: Mapping[str, int]) -> str:
        return f"first: FIRST\nFIRST: {self.expression} & ~{begun_by(mark)}"


class Choice(OfPattern):
    """Allow one of these texts, and no other.

    Formula: -inf for every token that none of the texts continues with
    Edges: where one text begins another, the end-of-text token decides between them.
    Source: llguidance.
    Engines: vLLM's structured_outputs choice, SGLang, outlines.
    Example: choice = ["yes", "no"]

    Raises:
        ParameterError: there is no tokenizer.
        EmptySupport: no allowed token has probability.
    """

    choice: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100_000)]], Field(min_length=1, max_length=20_000)
    ]

    @field_validator("choice")
    @classmethod
    def _bounded(cls, choice: list[str]) -> list[str]:
        if sum(map(len, choice)) > _MOST_LETTERS:  # llguidance takes some 100 bytes for each
            raise ValueError(f"the texts have at most {_MOST_LETTERS} characters together")
        require_short(longest_forced(text.encode() for text in choice))
        return choice

    @property
    def pattern(self) -> str:
        return "|".join(map(_escaped, dict.fromkeys(self.choice)))


class Regex(OfPattern):
    """Allow the texts that a regular expression matches from their first to their last character.

    Formula: -inf for every token that no matching text continues with
    Edges: a dot is any character but a line break; there is no look-around and no back-reference.
    Source: the syntax of Rust's regex crate, as llguidance reads it.
    Engines: vLLM's structured_outputs regex, SGLang, outlines.
    Example: regex = "[0-9]{4}"

    Raises:
        ParameterError: the expression is not valid or not supported; there is no tokenizer.
        EmptySupport: no allowed token has probability.
    """

    regex: Annotated[str, Field(min_length=1, max_length=100_000)]

    @field_validator("regex")
    @classmethod
    def _valid(cls, regex: str) -> str:
        if len(regex) - len(regex.rstrip("\\")) & 1:
            raise ValueError("it ends with a backslash that escapes nothing")
        require_valid(f"start: {_literal(regex)}", placed=False)
        return regex

    @property
    def pattern(self) -> str:
        return self.regex


class Lark(Constraint):
    """Allow the texts of a context-free grammar, written in llguidance's dialect of Lark; its first rule is ``start``.

    Formula: -inf for every token that no text of the grammar continues with
    Edges: as for json_schema.
    Source: llguidance, docs/syntax.md.
    Engines: vLLM's structured_outputs grammar with its guidance backend.
    Example: lark = "start: \\"a\\" | \\"b\\""

    Raises:
        ParameterError: the grammar is not valid; there is no tokenizer.
        EmptySupport: no allowed token has probability.
    """

    lark: Annotated[str, Field(min_length=1, max_length=400_000)]

    @field_validator("lark")
    @classmethod
    def _valid(cls, lark: str) -> str:
        if re.search(r"^\s*%llguidance", lark, re.MULTILINE):
            raise ValueError("%llguidance is set by this processor; leave the line out, and use forcing=")
        if len(re.findall(r"^[^\S\n]*[?!]?\w+[^\S\n]*[\[{(.:]", lark, re.MULTILINE)) > _MOST_RULES:
            raise ValueError(f"a grammar has at most {_MOST_RULES} rules")  # llguidance follows them by recursion
        require_rules_end(lark)
        require_supported_schemas(lark)
        if not _CONTROL.search(lark):  # else it is checked when the vocabulary is known
            require_valid(with_prepared_schemas(lark))
        return lark

    @property
    def expression(self) -> str:
        return "@side"

    @property
    def side(self) -> str:
        return with_prepared_schemas(self.lark)


def begun_by(text: str) -> str:
    """A regular expression, between slashes, of all texts that begin with this one."""
    return _literal(f"{_escaped(text)}(.|\\n)*")


def _literal(regex: str) -> str:
    """A regular expression between slashes, on one line."""
    return "/" + re.sub(r"\\?[/\x00-\x1f\x7f]|\\.", _on_one_line, regex, flags=re.DOTALL) + "/"


def _on_one_line(found: re.Match[str]) -> str:
    letter = found[0][-1]
    if letter == "/":
        return "\\/"
    return found[0] if letter.isprintable() else f"\\x{{{ord(letter):x}}}"


def _escaped(text: str) -> str:
    """A text as a regular expression."""
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in text)
