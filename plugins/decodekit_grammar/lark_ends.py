"""Rules of a grammar in Lark that no finite text satisfies, because each of their alternatives needs one of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from decodekit import ParameterError
from decodekit_grammar.lark_tokens import NotReadError, tokens_of

__all__ = ["require_rules_end"]

_MOST_PARTS = 300_000  # that are looked at: about 0.1 s; a grammar that needs more is not judged
_DEEPEST = 100  # groups in groups

_Tokens = list[tuple[str, str]]
_Expansion = list[list[Any]]  # alternatives of parts: a rule's name, None for a text, an expansion, an _Optional


class _Optional:
    """A part that may be left out."""

    def __init__(self, part: Any) -> None:
        self.part = part


def require_rules_end(grammar: str) -> None:
    """Raise `ParameterError` for a grammar in which a text may come to a rule that never ends.

    A grammar in a syntax that is not read here is not judged.
    """
    try:
        rules = {
            name: _expansion(tokens[::-1])
            for name, tokens in _rules([(kind, text) for kind, text, _ in tokens_of(grammar)])
        }
        ends = _ending(rules)
    except NotReadError:
        return
    endless = [name for name in _reached(rules) if name not in ends]
    if "start" in endless:
        raise ParameterError(
            f"no text of the grammar ends: each alternative of {', '.join(endless[:3])} needs a rule that never ends"
        )
    if endless:
        raise ParameterError(
            f"a text that comes to {endless[0]} never ends: each alternative of {', '.join(endless[:3])} needs a rule "
            "that never ends; give it one that does, or leave it out"
        )


def _reached(rules: Mapping[str, _Expansion]) -> list[str]:
    """The rules that `start` needs or may have, and so on; the nearer ones first."""
    found = [name for name in ("start",) if name in rules]
    known = {*found}
    for name in found:  # it grows
        new = dict.fromkeys(each for each in _names(rules[name]) if each in rules and each not in known)
        known |= new.keys()
        found += new
    return found


def _names(body: _Expansion) -> Iterator[str]:
    """The names in an expansion."""
    waiting: list[Any] = [body]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, _Optional):
            waiting.append(part.part)
        elif isinstance(part, list):
            waiting.extend(reversed(part))


def _ending(rules: Mapping[str, _Expansion]) -> set[str]:
    """The rules of which a text ends: first those that need no other, then those that need only these, and so on.

    Raises:
        NotReadError: it takes too long.
    """
    users: dict[str, list[str]] = {}
    sizes = {}
    for name, body in rules.items():
        names = list(_names(body))
        sizes[name] = len(names) + len(body) + 1
        for each in dict.fromkeys(names):
            users.setdefault(each, []).append(name)
    ends: set[str] = set()
    waiting, left = [*rules], _MOST_PARTS
    while waiting:
        name = waiting.pop()
        left -= sizes[name]
        if left < 0:
            raise NotReadError
        if name not in ends and _ends(rules[name], rules, ends):
            ends.add(name)
            waiting.extend(users.get(name, ()))
    return ends


def _ends(body: _Expansion, rules: Collection[str], ends: Collection[str]) -> bool:
    """Whether one of the alternatives has a text that ends, if the rules that are known so far have."""
    return any(
        all(_ends(part, rules, ends) if isinstance(part, list) else part not in rules or part in ends for part in parts)
        for parts in body
    )


def _rules(tokens: _Tokens) -> Iterator[tuple[str, _Tokens]]:
    """Each rule with the tokens of its right side; terminals always end."""
    starts = [at for at in range(len(tokens)) if _begins_rule(tokens, at)]
    for at, end in zip(starts, [*starts[1:], len(tokens)], strict=False):  # there may be none
        body = tokens[at:end]
        colon = next(i for i, token in enumerate(body) if token == ("sign", ":"))
        name = body[0][1].lstrip("?!")
        if any(token == ("sign", ":") for token in body[colon + 1 :]):
            raise NotReadError  # a grammar with parameters
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
                raise NotReadError
            group = _expansion(tokens, ")" if text == "(" else "]", depth + 1)
            parts.append(group if text == "(" else _Optional(group))
        elif text in ("?", "*") or (kind == "count" and text[1:].lstrip().startswith(("0", ","))):
            if not parts:
                raise NotReadError
            parts[-1] = _Optional(parts[-1])
        elif kind in ("name", "text", "json"):
            parts.append(text if kind == "name" else None)
        elif kind == "arrow" and tokens:
            tokens.pop()  # another name for the alternative
        elif kind != "count" and text not in "+.":
            raise NotReadError
    if close:
        raise NotReadError
    return body
