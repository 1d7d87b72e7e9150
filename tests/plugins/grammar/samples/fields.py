"""One value each: strings, numbers, enums, dates, patterns, short arrays."""

from __future__ import annotations

from typing import Any

from tests.plugins.grammar.samples.sample import BOOL, INT, NULL, NUM, STR, Sample, arr

__all__ = ["FIELDS"]


def _string(**more: Any) -> dict[str, Any]:
    return {**STR, **more}


def _int(**more: Any) -> dict[str, Any]:
    return {**INT, **more}


def _num(**more: Any) -> dict[str, Any]:
    return {**NUM, **more}


FIELDS = [
    Sample(name, schema, tuple(valid), tuple(invalid))
    for name, schema, valid, invalid in (
        ("any string", STR, ["", 'a "b" \\ / \n\t\x01', "東京 é 🌊"], [None, 1]),
        ("short string", _string(maxLength=4), ["", "abcd", "東京東京"], ["abcde", "東京東京東"]),
        ("string of a length", _string(minLength=2, maxLength=3), ["ab", "🌊🌊🌊"], ["a", "abcd"]),
        ("long string", _string(minLength=30), ["x" * 30, "x" * 200], ["x" * 29]),
        ("any integer", INT, [0, -7, 12345678901234567890], ["0", 1.5]),
        ("natural number", _int(minimum=0), [0, 99], [-1]),
        ("rating", _int(minimum=1, maximum=5), [1, 5], [0, 6, 15]),
        ("percent", _int(minimum=0, maximum=100), [0, 9, 10, 100], [101, 110, -1]),
        ("month, exclusive", _int(exclusiveMinimum=0, exclusiveMaximum=13), [1, 12], [0, 13]),
        ("negative range", _int(minimum=-20, maximum=-11), [-20, -11, -15], [-21, -10, 15, 0]),
        ("odd range", _int(minimum=97, maximum=1203), [97, 999, 1000, 1203], [96, 1204, 9700]),
        ("multiple of five", _int(multipleOf=5), [0, 5, 100, -15], [3, 51]),
        ("multiple in a range", _int(multipleOf=7, minimum=10, maximum=30), [14, 21, 28], [7, 35, 15]),
        ("any number", NUM, [0, -1.5, 1e-7, 12.25], ["1", None]),
        ("probability", _num(minimum=0, maximum=1), [0, 0.5, 1, 0.999], [1.001, -0.1, 2]),
        ("positive number", _num(exclusiveMinimum=0), [0.001, 3], [0, -1]),
        ("latitude", _num(minimum=-90, maximum=90), [-90, 89.99, 0], [-90.5, 90.01, 100]),
        ("price in cents", _num(multipleOf=0.01, minimum=0), [0, 12.5, 12.34], [12.345, -0.01]),
        ("boolean", BOOL, [True, False], ["true", 0]),
        ("null", NULL, [None], [0, "null"]),
        ("string or null", {"type": ["string", "null"]}, ["a", None], [1, False]),
        ("number or string", {"type": ["number", "string"]}, [1.5, "x"], [True, None]),
        ("integer or null, as pydantic", {"anyOf": [INT, NULL], "default": None}, [3, None], ["3", 1.5]),
        ("enum", {"enum": ["red", "green", "blue"]}, ["red", "blue"], ["purple", "re", None]),
        ("enum with prefixes", {"enum": ["a", "ab", "abc"]}, ["a", "ab", "abc"], ["abcd", "b", ""]),
        ("enum of many kinds", {"enum": [1, "1", None, True, 2.5]}, [1, "1", None, True, 2.5], [2, False, "true"]),
        ("enum of objects", {"enum": [{"k": 1}, {"k": [2, 3]}]}, [{"k": 1}, {"k": [2, 3]}], [{"k": 2}, {}]),
        ("enum in unicode", {"type": "string", "enum": ["Zürich", "東京"]}, ["東京", "Zürich"], ["Zurich"]),
        ("enum with quotes", {"enum": ['say "hi"', "a\\b", "x\ny"]}, ['say "hi"', "a\\b", "x\ny"], ["say hi", "a"]),
        ("constant", {"const": "v1"}, ["v1"], ["v2", 1]),
        ("constant object", {"const": {"a": [1, {"b": None}]}}, [{"a": [1, {"b": None}]}], [{"a": []}, {}]),
        ("date", _string(format="date"), ["2024-02-29", "1999-12-31"], ["2023-02-29", "2023-13-01", "2023-1-1"]),
        ("time", _string(format="time"), ["23:59:59Z", "08:00:00.5+02:00"], ["24:00:00Z", "08:00"]),
        ("moment", _string(format="date-time"), ["2024-02-29T12:00:00Z"], ["2023-02-29T12:00:00Z", "2024-02-29"]),
        ("uuid", _string(format="uuid"), ["2eb8aa08-aa98-11ea-b4aa-73b441d16380"], ["2eb8aa08-aa98", "x"]),
        ("email", _string(format="email"), ["joe@example.com"], ["joe", ""]),
        ("address", _string(format="ipv4"), ["192.168.0.1", "0.0.0.0"], ["256.1.1.1", "1.2.3"]),
        ("address of 128 bits", _string(format="ipv6"), ["::1", "2001:db8::ff00:42:8329"], ["::g", "12345::"]),
        ("postal code", _string(pattern="^[0-9]{5}$"), ["12345"], ["1234", "123456", "1234a"]),
        ("part of a pattern", _string(pattern="b+"), ["b", "abba"], ["", "a"]),
        ("phone", _string(pattern=r"^\+?[0-9]{1,3}(-[0-9]{2,4}){2}$"), ["+49-89-1234"], ["49 89", "+"]),
        ("identifier", _string(pattern=r"^[a-z_]\w*$", maxLength=8), ["a_1", "abcdefgh"], ["1a", "abcdefghi"]),
        ("colour", _string(pattern="^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"), ["#fff", "#00FFaa"], ["#ffff", "fff"]),
        ("version", _string(pattern=r"^\d+\.\d+\.\d+$"), ["1.10.0"], ["1.0", "v1.0.0"]),
        ("path", _string(pattern="^(/[^/\\x00]+)+$"), ["/a/b.txt", "/é"], ["a/b", "/"]),
        ("strings", arr(STR), [[], ["a", ""]], [["a", 1], "a"]),
        ("one to three numbers", arr(NUM, minItems=1, maxItems=3), [[1], [1, 2.5, 3]], [[], [1, 2, 3, 4]]),
        ("exactly two", arr(BOOL, minItems=2, maxItems=2), [[True, False]], [[True], [True, True, True]]),
        ("matrix", arr(arr(INT, minItems=2, maxItems=2)), [[], [[1, 2], [3, 4]]], [[[1]], [1, 2]]),
        ("array of anything", {"type": "array"}, [[], [1, "a", {"b": [None]}]], [{}, "x"]),
        ("tuple", {"type": "array", "prefixItems": [STR, INT], "items": False, "minItems": 2}, [["a", 1]],
         [["a"], ["a", 1, 2], [1, "a"]]),
        ("open tuple", {"type": "array", "prefixItems": [NUM, NUM], "items": BOOL, "minItems": 2},
         [[1, 2], [1, 2, True]], [[1], [1, 2, 3]]),
        ("map to numbers", {"type": "object", "additionalProperties": NUM}, [{}, {"a": 1, "東": 2.5}], [{"a": "1"}]),
        ("map by pattern", {"type": "object", "patternProperties": {"^x_": INT}, "additionalProperties": False},
         [{}, {"x_a": 1, "x_": 2}], [{"y": 1}, {"x_a": "1"}]),
        ("any object", {"type": "object"}, [{}, {"a": {"b": [1]}}], [[], 1]),
        ("anything", {}, [1, None, "a", [1], {"a": 1}], []),
    )
]  # fmt: skip
