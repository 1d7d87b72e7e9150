"""Grammars in Lark that no finite text satisfies, because a rule needs itself in each of its alternatives."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from decodekit import ParameterError

__all__ = ["require_rules_end"]

_TOKEN = re.compile(
    r"""(?P<skip>[^\S\n]+|//[^\n]*|\#[^\n]*)|(?P<line>\n)|(?P<json>%(?:json|regex)\s*(?=\{))|(?P<statement>%[^\n]*)
    |(?P<text>"(?:\\.|[^"\\\n])*"i?|/(?:\\.|[^/\\\n])+/[a-z]*|<[^<>\s]*>|@[\w-]+)|(?P<name>[?!]?[A-Za-z_][\w-]*)
    |(?P<count>\{[0-9,\ ]*\}|~[0-9]+(?:\.\.[0-9]+)?)|(?P<sign>[:|()\[\]*+?.,=~&0-9])|(?P<arrow>->)""",
    re.VERBOSE,
)
_MOST_PASSES = 50  # over all rules; a grammar that needs more is not judged
_DEEPEST = 100  # groups in groups

_Tokens = list[tuple[str, str]]
_Expansion = list[list[Any]]  # alternatives of parts: the name of a rule, None for what always ends, or an expansion


class _NotReadError(Exception):
    """A grammar that is not judged here: llguidance says what is wrong with it."""


def require_rules_end(grammar: str) -> None:
    """Raise `ParameterError` for a grammar of which no text ends.

    A grammar in a syntax that is not read here is not judged.
    """
    try:
        rules = {name: _expansion(tokens[::-1]) for name, tokens in _rules(list(_tokens(grammar)))}
    except (_NotReadError, json.JSONDecodeError):
        return
    ends: set[str] = set()
    for _ in range(_MOST_PASSES):
        more = {name for name, body in rules.items() if name not in ends and _ends(body, rules, ends)}
        if not more:
            break
        ends |= more
    else:
        return
    if "start" in rules and "start" not in ends:
        endless = sorted(rules.keys() - ends)
        raise ParameterError(
            f"no text of the grammar ends: each alternative of {', '.join(endless[:3])} needs a rule that never ends"
        )


def _ends(body: _Expansion, rules: Collection[str], ends: Collection[str]) -> bool:
    """Whether one of the alternatives has a text that ends, if the rules that are known so far have."""
    return any(
        all(_ends(part, rules, ends) if isinstance(part, list) else part not in rules or part in ends for part in parts)
        for parts in body
    )


def _tokens(grammar: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(grammar):
        match = _TOKEN.match(grammar, at)
        if match is None:
            raise _NotReadError
        kind, at = str(match.lastgroup), match.end()
        if kind == "json":
            _, at = json.JSONDecoder().raw_decode(grammar, at)
            kind = "text"
        if kind not in ("skip", "statement"):
            yield kind, match.group()


def _rules(tokens: _Tokens) -> Iterator[tuple[str, _Tokens]]:
    """Each rule with the tokens of its right side; terminals always end."""
    starts = [at for at in range(len(tokens)) if _begins_rule(tokens, at)]
    for at, end in zip(starts, [*starts[1:], len(tokens)], strict=False):  # there may be none
        body = tokens[at:end]
        colon = next(i for i, token in enumerate(body) if token == ("sign", ":"))
        name = body[0][1].lstrip("?!")
        if any(token == ("sign", ":") for token in body[colon + 1 :]):
            raise _NotReadError  # a grammar with parameters
        if name != name.upper():
            yield name, [token for token in body[colon + 1 :] if token[0] != "line"]


def _begins_rule(tokens: _Tokens, at: int) -> bool:
    """Whether a name at the beginning of a line has a colon behind it, or behind its options in brackets."""
    if tokens[at][0] != "name" or (at and tokens[at - 1][0] != "line"):
        return False
    for kind, text in tokens[at + 1 :]:
        if kind == "line" or text in "|(":
            return False
        if text == ":":
            return True
    return False


def _expansion(tokens: _Tokens, close: str = "", depth: int = 0) -> _Expansion:
    """The right side of a rule, up to a closing bracket; its tokens are taken off the list, whose end is read first."""
    body: _Expansion = [[]]
    while tokens:
        kind, text = tokens.pop()
        parts = body[-1]
        if kind == "sign" and text in ")]":
            if text != close:
                break
            return body
        if text == "|":
            body.append([])
        elif kind == "sign" and text in "([":
            if depth == _DEEPEST:
                raise _NotReadError
            group = _expansion(tokens, ")" if text == "(" else "]", depth + 1)
            parts.append(group if text == "(" else None)
        elif text in ("?", "*") or (kind == "count" and text[1:].lstrip().startswith(("0", ","))):
            if not parts:
                raise _NotReadError
            parts[-1] = None
        elif kind in ("name", "text"):
            parts.append(text if kind == "name" else None)
        elif kind == "arrow" and tokens:
            tokens.pop()  # another name for the alternative
        elif kind != "count" and text not in "+.":
            raise _NotReadError
    if close:
        raise _NotReadError
    return body
