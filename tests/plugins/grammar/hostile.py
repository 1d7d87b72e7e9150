"""A hundred hostile grammars, by name: a processor and its parameter. Large ones are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["HOSTILE"]

_KEYS = ("items", "properties", "anyOf", "allOf", "additionalProperties")
Made = Callable[[], Any]
_STR = {"type": "string"}


def _deep(depth: int, key: str) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(depth):
        schema = {
            "items": {"type": "array", "items": schema},
            "properties": {"type": "object", "properties": {"a": schema}, "required": ["a"]},
            "anyOf": {"anyOf": [schema, {"type": "null"}]},
            "allOf": {"allOf": [schema, {"type": ["integer", "null", "array"]}]},
            "additionalProperties": {"type": "object", "additionalProperties": schema},
        }[key]
    return schema


def _object(names: list[str], required: bool, **more: Any) -> Any:
    return {"type": "object", "properties": dict.fromkeys(names, _STR), "required": names if required else [], **more}


def _chain(length: int) -> Any:
    """A chain of references, each to the next twice: as a tree it would have 2 ** length leaves."""
    defs: Any = {f"d{i}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(length)}
    return {"$defs": {**defs, f"d{length}": _STR}, "$ref": "#/$defs/d0"}


def _all_of_chain(length: int) -> Any:
    """The same with allOf, which is merged when it is compiled."""
    defs: Any = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(length)}
    return {"$defs": {**defs, f"d{length}": _STR}, "$ref": "#/$defs/d0"}


def _any_of_product(parts: int, branches: int) -> Any:
    """An allOf of anyOfs: as one anyOf it would have branches ** parts branches."""
    return {"allOf": [{"anyOf": [{"properties": {f"k{p}_{b}": _STR}} for b in range(branches)]} for p in range(parts)]}


def _loop(length: int) -> Any:
    defs = {f"d{i}": {"$ref": f"#/$defs/d{(i + 1) % length}"} for i in range(length)}
    return {"$defs": defs, "$ref": "#/$defs/d0"}


_REGEXES: dict[str, str] = {
    "nested plus": "(a+)+b",
    "nested star": "(a*)*b",
    "star of stars": "((a*)*)*b",
    "optional chain": "a?" * 500 + "a" * 500,
    "alternatives that overlap": "(a|aa)*" * 40,
    "alternatives that are equal": "(a|a)*" * 100,
    "bounded bounds": "((a{0,100}){0,100}){0,100}",
    "more bounds": "(((a{1,99}){1,99}){1,99}){1,99}",
    "bound of a class": "[a-z]{0,100000}",
    "bound of unicode": "\\p{L}{0,20000}",
    "exact large bound": "a{50000}",
    "bound of a dot": ".{1000,2000}",
    "bound beyond 32 bits": "a{0,99999999999}",
    "dots between letters": "(.*a.*b.*c.*d.*)*",
    "a letter far from the end": "(a|b)*a(a|b){24}",
    "a letter very far from the end": "(a|b)*a(a|b){400}",
    "two letters far from the end": "(.*a.{30}|.*b.{31})",
    "product of moduli": "|".join(f"(a{{{n}}})*b" for n in (7, 11, 13, 17, 19)),
    "many moduli": "(" + ")|(".join(f"(a{{{n}}})*" for n in range(2, 60)) + ")",
    "deep groups": "(" * 300 + "a" + ")" * 300,
    "very deep groups": "(" * 20000 + "a" + ")" * 20000,
    "unclosed groups": "(" * 5000,
    "deep stars": "(" * 100 + "a" + ")*" * 100,
    "empty alternatives": "(" + "|" * 2000 + ")",
    "many classes": "[a-zA-Z0-9_]" * 2000,
    "long literal": "x" * 90000,
    "words": "|".join(f"word{i}" for i in range(5000)),
    "words backwards": "|".join(f"{i}word" for i in range(5000)),
    "words, repeated": "(" + "|".join(f"w{i}" for i in range(1000)) + ")*",
    "unicode classes": "[\\p{Han}\\p{Greek}]{1,500}",
    "any byte": "(?s:.)*" * 30,
    "case folding": "(?i)" + "straße" * 500,
    "look-ahead": "(?=a)b",
    "look-behind": "(?<!a)b",
    "back-reference": "(a)\\1",
    "word boundary": "\\bword\\b",
    "anchors inside": "a^b$c",
    "nothing": "[^\\s\\S]",
    "not UTF-8": "(?-u:\\xff)",
    "NUL bytes": "\\x00" * 1000,
    "slashes": "/" * 5000,
    "backslashes": "\\\\" * 5000,
    "newlines": "\n" * 3000,
    "emoji": "🌊{0,5000}",
}

_LARKS: dict[str, str] = {
    "left recursion": 'start: start "a" | "a"',
    "right recursion": 'start: "a" start | "a"',
    "middle recursion": 'start: "a" start "a" | "b"',
    "ambiguous sum": 'start: start start | "a"',
    "ambiguous with nothing": 'start: start start | "a" | ""',
    "hidden left recursion": 'start: x start "b" | "a"\nx: "" | "a"',
    "a rule of itself": "start: start",
    "rules in a loop": "start: x\nx: y\ny: x",
    "nothing at all": 'start: ""',
    "nothing repeated": 'start: ("" | "")*',
    "a missing rule": "start: missing",
    "no start": 'other: "a"',
    "a terminal of itself": 'start: A\nA: "a" A | "b"',
    "many rules": "start: r0\n" + "\n".join(f'r{i}: "a" r{i + 1} | "b"' for i in range(3000)) + '\nr3000: "c"',
    "doubling rules": "start: r0\n" + "\n".join(f"r{i}: r{i + 1} r{i + 1}" for i in range(60)) + '\nr60: "a"',
    "many alternatives": "start: " + " | ".join(f'"{i}"' for i in range(10000)),
    "a large bound": 'start: ("a" | "b"){1,50000}',
    "bounds in bounds": 'start: ((("a"{0,200}){0,200}){0,200})',
    "deep brackets": "start: " + "(" * 2000 + '"a"' + ")" * 2000,
    "a control token": "start: <|im_end|>",
    "an import": "%import common.WORD\nstart: WORD",
    "NUL": 'start: "\\x00"',
    "a schema in it": 'start: %json {"allOf": [{"not": {}}]}',
    "a branch without an end": 'start: "a" | loop\nloop: "x" loop',
    "an infinite text": 'start: "a" start',
}

_SCHEMAS: dict[str, Made] = {
    **{f"400 deep, {key}": partial(_deep, 399, key) for key in _KEYS},
    "5,000 deep": lambda: _deep(5000, "items"),
    "100,000 deep": lambda: _deep(100_000, "anyOf"),
    "enum of 5,000": lambda: {"enum": [f"value {i}" for i in range(5000)]},
    "enum of 5,000 numbers": lambda: {"enum": list(range(5000))},
    "enum of long texts": lambda: {"enum": [f"{i}" * 300 for i in range(300)]},
    "enum of 100,000": lambda: {"enum": list(range(100_000))},
    "enum of deep values": lambda: {"enum": [[[[[[i]]]]] for i in range(400)]},
    "long constant": lambda: {"const": "x" * 100_000},
    "maxItems 100,000": lambda: {"type": "array", "items": _STR, "maxItems": 100_000},
    "minItems 100,000": lambda: {"type": "array", "items": _STR, "minItems": 100_000},
    "bounds in bounds": lambda: {
        "type": "array",
        "maxItems": 999,
        "items": {"type": "array", "maxItems": 999, "items": {"type": "array", "maxItems": 999}},
    },
    "minLength 1,000,000": lambda: {**_STR, "minLength": 1_000_000},
    "maxLength 1,000,000": lambda: {**_STR, "maxLength": 1_000_000},
    "lengths beyond 64 bits": lambda: {**_STR, "maxLength": 10**30},
    "2,000 optional keys": lambda: _object([f"k{i}" for i in range(2000)], False),
    "2,000 keys": lambda: _object([f"k{i}" for i in range(2000)], True),
    "long keys": lambda: _object(["k" * 50_000 + str(i) for i in range(4)], True),
    "a reference to itself": lambda: {"$ref": "#"},
    "a definition of itself": lambda: {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "references in a loop": lambda: _loop(50),
    "an object of itself": lambda: {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "anyOf of itself": lambda: {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "allOf of itself": lambda: {"allOf": [{"$ref": "#"}]},
    "references that double": lambda: _chain(60),
    "allOf that doubles": lambda: _all_of_chain(30),
    "long chain": lambda: _chain(2000),
    "allOf of anyOf": lambda: _any_of_product(12, 6),
    "allOf of 1,000": lambda: {"allOf": [{"type": "integer", "minimum": i} for i in range(1000)]},
    "anyOf of 3,000": lambda: {"anyOf": [_object([f"k{i}"], True) for i in range(3000)]},
    "anyOf of 1,000": lambda: {"anyOf": [_object([f"k{i}"], True) for i in range(1000)]},
    "oneOf of 300": lambda: {"oneOf": [{"const": i} for i in range(300)]},
    "patterns of keys": lambda: {"patternProperties": {f"^{i}(a|b)*c{{1,9}}$": _STR for i in range(100, 200)}},
    "patterns that overlap": lambda: {"patternProperties": {f".*{i}.*": _STR for i in range(60)}},
    "patterns in allOf": lambda: {
        "allOf": [{**_STR, "pattern": f"(a|b)*{'ab'[i % 2]}(a|b){{{i}}}"} for i in range(12)]
    },
    "a hostile pattern": lambda: {**_STR, "pattern": "^(a|b)*a(a|b){100}$", "minLength": 5000},
    "large integers": lambda: {"type": "integer", "minimum": -(10**40), "maximum": 10**40},
    "narrow numbers": lambda: {"type": "number", "minimum": 0.1234567890123, "maximum": 0.1234567890124},
    "multiples": lambda: {"type": "integer", "multipleOf": 99991, "minimum": 5},
    "small multiples": lambda: {"type": "number", "multipleOf": 1e-9},
    "many multiples": lambda: {"type": "integer", "allOf": [{"multipleOf": n} for n in (97, 101, 103, 107)]},
    "a cycle in Python": lambda: (lambda schema: schema.update(items=schema) or schema)({}),
    "keys that are no texts": lambda: {1: 2, None: {}},
    "surrogates": lambda: {"const": "\ud800"},
    "NUL in a key": lambda: _object(["a\0b"], True),
    "prefixItems of 5,000": lambda: {"prefixItems": [_STR] * 5000, "minItems": 5000},
}

HOSTILE: dict[str, tuple[str, Made]] = {
    **{f"regex: {name}": ("regex", partial(str, value)) for name, value in _REGEXES.items()},
    **{f"lark: {name}": ("lark", partial(str, value)) for name, value in _LARKS.items()},
    **{f"json_schema: {name}": ("json_schema", made) for name, made in _SCHEMAS.items()},
    "choice: 20,000": ("choice", lambda: [f"choice number {i}" for i in range(20_000)]),
    "choice: 20,000 that begin alike": ("choice", lambda: ["x" * 200 + str(i) for i in range(20_000)]),
    "choice: 20,000 of some length": ("choice", lambda: ["x" * 40 + str(i) for i in range(20_000)]),
    "choice: long ones": ("choice", lambda: ["ab"[i % 2] * 90_000 + str(i) for i in range(5)]),
    "choice: all prefixes": ("choice", lambda: ["a" * i for i in range(1, 2000)]),
    "tools: 500": (
        "tools",
        lambda: [{"name": f"tool{i}", "parameters": _object(["a", "b"], False)} for i in range(500)],
    ),
}
