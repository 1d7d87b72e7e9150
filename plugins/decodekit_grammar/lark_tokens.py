"""The tokens of a grammar in llguidance's dialect of Lark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

__all__ = ["NotReadError", "tokens_of"]

_TOKEN = re.compile(
    r"""(?P<skip>[^\S\n]+|//[^\n]*|\#[^\n]*)|(?P<line>\n)|(?P<json>%(?:json|regex)\s*(?=\{))|(?P<statement>%[^\n]*)
    |(?P<text>"(?:\\.|[^"\\\n])*"i?|/(?:\\.|[^/\\\n])+/[a-z]*|<[^<>\s]*>|@[\w-]+)|(?P<name>[?!]?[A-Za-z_][\w-]*)
    |(?P<count>\{[0-9,\ ]*\}|~[0-9]+(?:\.\.[0-9]+)?)|(?P<sign>[:|()\[\]*+?.,=~&0-9])|(?P<arrow>->)""",
    re.VERBOSE,
)
_OF_A_LINE = re.compile(r"%(?:ignore|import|declare)\b")


class NotReadError(Exception):
    """A grammar in a syntax that is not read here: llguidance says what is wrong with it, if anything is."""


def tokens_of(grammar: str) -> Iterator[tuple[str, str, slice]]:
    """The kind, the text and the place of each token; 'json' is a whole ``%json {...}`` or ``%regex {...}``.

    Raises:
        NotReadError: it cannot be read.
    """
    at = 0
    while at < len(grammar):
        match = _TOKEN.match(grammar, at)
        if match is None:
            raise NotReadError
        kind, line = str(match.lastgroup), grammar.rfind("\n", 0, at) + 1
        if kind == "statement" and (grammar[line:at].strip() or not _OF_A_LINE.match(match.group())):
            raise NotReadError  # such as a grammar in a grammar
        begin, at = at, match.end()
        if kind == "json":
            try:
                _, at = json.JSONDecoder().raw_decode(grammar, at)
            except json.JSONDecodeError as error:
                raise NotReadError from error
        if kind not in ("skip", "statement"):
            yield kind, grammar[begin:at], slice(begin, at)
