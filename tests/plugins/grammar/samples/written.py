"""Whole schemas: calls of tools, extraction, trees, unions, deep nesting, names in many languages."""

from __future__ import annotations

from tests.plugins.grammar.samples.sample import BOOL, INT, NULL, NUM, STR, Sample, arr, obj, ref

__all__ = ["WRITTEN"]

_DATE = {"type": "string", "format": "date"}
_MONEY = obj(amount={"type": "number", "minimum": 0}, currency={"enum": ["EUR", "USD"]})
_CIRCLE = obj(kind={"const": "circle"}, radius={"type": "number", "exclusiveMinimum": 0})
_SQUARE = obj(kind={"const": "square"}, side=NUM, label={"type": ["string", "null"]})
_GROUP = obj(kind={"const": "group"}, parts=arr(ref("Shape"), maxItems=3))
_VALUE = {"anyOf": [STR, NUM, BOOL, NULL, arr(ref("Value")), {"type": "object", "additionalProperties": ref("Value")}]}
_ASKED = obj("to", to={"type": "string", "format": "email"}, cc=arr(STR, maxItems=2), urgent=BOOL)

WRITTEN = [
    Sample(
        "weather call",
        obj("city", city={"type": "string", "description": "a city"}, unit={"enum": ["C", "F"]}, days=INT),
        ({"city": "Bern"}, {"city": "Oslo", "unit": "C", "days": 3}, {"city": "", "days": 1}),
        ({}, {"city": "Bern", "unit": "K"}, {"city": "Bern", "hours": 3}),
    ),
    Sample(
        "one of three tools",
        {
            "anyOf": [
                obj(tool={"const": name}, args=args)
                for name, args in (("mail", _ASKED), ("now", obj("-")), ("pay", obj(sum=_MONEY)))
            ]
        },
        (
            {"tool": "now", "args": {}},
            {"tool": "mail", "args": {"to": "a@b.ch", "urgent": True}},
            {"tool": "pay", "args": {"sum": {"amount": 1.5, "currency": "EUR"}}},
        ),
        ({"tool": "now", "args": {"sum": 1}}, {"tool": "mail", "args": {}}, {"tool": "sing", "args": {}}),
    ),
    Sample(
        "a step of an agent",
        obj(thought=STR, action={"enum": ["search", "answer", "stop"]}, confidence={"type": "number", "maximum": 1}),
        ({"thought": "I look.", "action": "search", "confidence": 0.25},),
        ({"thought": "I look.", "action": "look", "confidence": 0.25}, {"action": "stop", "confidence": 1}),
    ),
    Sample(
        "invoice",
        obj(
            number={"type": "string", "pattern": "^R-[0-9]{4}$"},
            date=_DATE,
            lines=arr(obj(text=STR, price=_MONEY), minItems=1),
            paid=BOOL,
        ),
        (
            {
                "number": "R-0001",
                "date": "2024-02-29",
                "lines": [{"text": "Tea", "price": {"amount": 3, "currency": "EUR"}}],
                "paid": False,
            },
        ),
        (
            {"number": "R-1", "date": "2024-02-29", "lines": [], "paid": False},
            {
                "number": "R-0001",
                "date": "2024-02-30",
                "lines": [{"text": "", "price": {"amount": 3, "currency": "EUR"}}],
                "paid": True,
            },
        ),
    ),
    Sample(
        "people in a text",
        arr(
            obj(
                "name", name=STR, age={"type": "integer", "minimum": 0, "maximum": 150}, roles=arr({"enum": ["a", "b"]})
            )
        ),
        ([], [{"name": "Ada", "age": 36}, {"name": "Bob", "roles": ["a", "b", "a"]}]),
        ([{"age": 3}], [{"name": "Ada", "age": 151}], [{"name": "Bob", "roles": ["c"]}]),
    ),
    Sample(
        "answers with evidence",
        obj(
            answer={"enum": ["yes", "no", "unknown"]},
            quotes=arr(obj(page=INT, text={"type": "string", "maxLength": 20}), maxItems=2),
        ),
        ({"answer": "no", "quotes": []}, {"answer": "yes", "quotes": [{"page": 1, "text": "so"}]}),
        ({"answer": "maybe", "quotes": []}, {"answer": "yes", "quotes": [{"page": 1, "text": "x" * 21}]}),
    ),
    Sample(
        "feelings and their strength",
        obj(
            feeling=obj(name={"enum": ["joy", "fear", "joyless"]}, strength={"enum": [1, 2, 3]}),
            language={"enum": ["de", "en"]},
        ),
        ({"feeling": {"name": "joyless", "strength": 3}, "language": "de"},),
        (
            {"feeling": {"name": "joyl", "strength": 3}, "language": "de"},
            {"feeling": {"name": "joy", "strength": 4}, "language": "en"},
        ),
    ),
    Sample(
        "shapes that refer to one another",
        {"$defs": {"Shape": {"oneOf": [_CIRCLE, _SQUARE, _GROUP]}}, **ref("Shape")},
        ({"kind": "circle", "radius": 2}, {"kind": "group", "parts": [{"kind": "square", "side": 1, "label": None}]}),
        ({"kind": "circle", "side": 2}, {"kind": "circle", "radius": 0}, {"kind": "group", "parts": [{}]}),
    ),
    Sample(
        "linked list",
        {"$defs": {"Node": obj(value=INT, next={"anyOf": [ref("Node"), NULL]})}, **ref("Node")},
        ({"value": 1, "next": None}, {"value": 1, "next": {"value": 2, "next": {"value": 3, "next": None}}}),
        ({"value": 1}, {"value": 1, "next": {"value": 2}}),
    ),
    Sample(
        "tree from the root",
        {**obj(name=STR, children=arr({"$ref": "#"}))},
        ({"name": "a", "children": []}, {"name": "a", "children": [{"name": "b", "children": []}]}),
        ({"name": "a"}, {"name": "a", "children": [{"name": 1, "children": []}]}),
    ),
    Sample(
        "any JSON value, as definitions",
        {"$defs": {"Value": _VALUE}, **ref("Value")},
        ({"a": [1, None, {"b": "c"}]}, [[[]]], "x", True),
        (),
    ),
    Sample(
        "two definitions that refer to each other",
        {"$defs": {"A": obj("x", x=INT, b=ref("B")), "B": obj("y", y=STR, a=ref("A"))}, **ref("A")},
        ({"x": 1}, {"x": 1, "b": {"y": "", "a": {"x": 2}}}),
        ({"b": {"y": ""}}, {"x": 1, "b": {"a": {"x": 2}}}),
    ),
    Sample(
        "definitions of draft 7",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"id": {"type": "integer", "minimum": 1}},
            **obj(user={"$ref": "#/definitions/id"}, friends=arr({"$ref": "#/definitions/id"})),
        },
        ({"user": 1, "friends": [2, 3]},),
        ({"user": 0, "friends": []}, {"user": 1, "friends": ["2"]}),
    ),
    Sample(
        "tuple of draft 7",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "array",
            "items": [STR, INT],
            "additionalItems": False,
            "minItems": 2,
        },
        (["a", 1],),
        (["a"], ["a", 1, 2], [1, "a"]),
    ),
    Sample(
        "a reference to a property",
        obj(home=obj(street=STR, zip={"type": "string", "pattern": "^[0-9]{4}$"}), work={"$ref": "#/properties/home"}),
        ({"home": {"street": "A", "zip": "1234"}, "work": {"street": "B", "zip": "9999"}},),
        ({"home": {"street": "A", "zip": "1234"}, "work": {"street": "B", "zip": "999"}},),
    ),
    Sample(
        "parts that all hold",
        {
            "allOf": [
                {"type": "object", "properties": {"a": INT}, "required": ["a"]},
                {"properties": {"b": STR}, "required": ["b"]},
            ]
        },
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": None}),
        ({"a": 1}, {"a": "1", "b": "x"}),
    ),
    Sample(
        "bounds from several parts",
        {"type": "integer", "allOf": [{"minimum": 3}, {"maximum": 12}, {"multipleOf": 3}]},
        (3, 12, 9),
        (0, 15, 4),
    ),
    Sample(
        "a definition with a narrower bound",
        {"$defs": {"N": {"type": "integer", "minimum": 0}}, **obj(n={**ref("N"), "maximum": 9})},
        ({"n": 0}, {"n": 9}),
        ({"n": 10}, {"n": -1}),
    ),
    Sample(
        "a text or an object",
        {"anyOf": [STR, obj(text=STR, score=NUM)]},
        ("hello", {"text": "hello", "score": 1}),
        ({"text": "hello"}, 5),
    ),
    Sample(
        "branches that begin alike",
        {"anyOf": [obj(a=INT, b=INT), obj(a=INT, c=STR), obj(a=STR)]},
        ({"a": 1, "b": 2}, {"a": 1, "c": "x"}, {"a": "x"}),
        ({"a": 1}, {"a": "x", "b": 2}, {"a": 1, "b": "x"}),
    ),
    Sample(
        "only optional fields",
        obj("-", a=INT, b=STR, c=BOOL),
        ({}, {"a": 1}, {"b": ""}, {"a": 1, "c": True}, {"a": 1, "b": "", "c": False}),
        ({"d": 1}, {"a": None}),
    ),
    Sample(
        "other keys allowed",
        {"type": "object", "properties": {"id": INT}, "required": ["id"]},
        ({"id": 1}, {"id": 1, "more": [1, {"x": None}]}),
        ({}, {"id": "1"}),
    ),
    Sample(
        "other keys of a kind",
        {"type": "object", "properties": {"id": INT}, "required": ["id"], "additionalProperties": {"type": "string"}},
        ({"id": 1, "de": "eins", "fr": "un"},),
        ({"id": 1, "de": 1},),
    ),
    Sample(
        "a key that must be there and is not described",
        {"type": "object", "properties": {"a": INT}, "required": ["b", "a"]},
        ({"a": 1, "b": None},),
        ({"a": 1}, {"b": 1}),
    ),
    Sample(
        "translations",
        {"type": "object", "patternProperties": {"^[a-z]{2}$": STR}, "additionalProperties": False},
        ({}, {"de": "Tee", "fr": "thé"}),
        ({"deu": "Tee"}, {"de": 1}),
    ),
    Sample(
        "keys in many languages",
        obj(**{"名前": STR, "âge": INT, "имя дня": BOOL, "🌊": {"enum": ["é", "è"]}}),
        ({"名前": "東", "âge": 1, "имя дня": True, "🌊": "è"},),
        ({"名前": "東", "âge": 1, "имя дня": True, "🌊": "e"}, {"名前": "東"}),
    ),
    Sample(
        "keys with quotes, slashes and blanks",
        obj(**{'a"b': INT, "c\\d": INT, "e/f~g": INT, " ": INT, "": INT}),
        ({'a"b': 1, "c\\d": 2, "e/f~g": 3, " ": 4, "": 5},),
        ({'a"b': 1, "c\\d": 2, "e/f~g": 3, " ": 4},),
    ),
    Sample(
        "keys that are keywords",
        obj(type=STR, properties=INT, required=BOOL, enum=arr(INT), default=NULL, **{"$ref": STR}),
        ({"type": "x", "properties": 1, "required": True, "enum": [1], "default": None, "$ref": "#"},),
        ({"type": "x", "properties": "1", "required": True, "enum": [1], "default": None, "$ref": "#"},),
    ),
    Sample(
        "keys that begin alike",
        obj(a=INT, ab=INT, abc=INT, a_b=INT),
        ({"a": 1, "ab": 2, "abc": 3, "a_b": 4},),
        ({"a": 1, "abc": 3, "a_b": 4},),
    ),
    Sample(
        "twenty fields",
        obj("f0 f19", **{f"f{i}": {"type": "integer", "maximum": i} for i in range(20)}),
        ({"f0": 0, "f19": 19}, {f"f{i}": i for i in range(20)}),
        ({"f0": 1, "f19": 19}, {"f0": 0}),
    ),
    Sample(
        "a graph as arrays",
        obj(
            nodes=arr({"type": "string", "pattern": "^n[0-9]+$"}, minItems=1),
            edges=arr({"type": "array", "prefixItems": [INT, INT], "items": False, "minItems": 2}),
        ),
        ({"nodes": ["n1"], "edges": []}, {"nodes": ["n1", "n22"], "edges": [[0, 1], [1, 0]]}),
        ({"nodes": [], "edges": []}, {"nodes": ["n"], "edges": []}, {"nodes": ["n1"], "edges": [[0]]}),
    ),
    Sample(
        "a plan of settings",
        obj(
            theme={"enum": ["light", "dark"]},
            size={"type": "integer", "minimum": 8, "maximum": 72},
            hotkeys={"type": "object", "additionalProperties": {"type": "string", "pattern": "^(Ctrl|Alt)\\+[A-Z]$"}},
        ),
        ({"theme": "dark", "size": 12, "hotkeys": {"open": "Ctrl+O"}},),
        ({"theme": "dark", "size": 7, "hotkeys": {}}, {"theme": "dark", "size": 12, "hotkeys": {"open": "Ctrl+o"}}),
    ),
    Sample(
        "a choice question",
        obj(
            question=STR,
            options=arr(STR, minItems=4, maxItems=4),
            correct={"type": "integer", "minimum": 0, "maximum": 3},
        ),
        ({"question": "?", "options": ["a", "b", "c", "d"], "correct": 3},),
        (
            {"question": "?", "options": ["a", "b", "c"], "correct": 3},
            {"question": "?", "options": ["a"] * 4, "correct": 4},
        ),
    ),
]
