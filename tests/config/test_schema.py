"""The schema of configurations, and that the loader agrees with it in both directions."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import ConfigError
from decodekit.config import config_schema, load_config

SCHEMA = config_schema()
REMOTE = {"type": "remote", "base_url": "http://127.0.0.1:9"}


@functools.cache
def validator() -> Any:
    """Only a whole number without a point is an integer, as in TOML."""
    kind = jsonschema.Draft202012Validator
    whole = kind.TYPE_CHECKER.redefine("integer", lambda _, each: isinstance(each, int) and not isinstance(each, bool))
    kind.check_schema(SCHEMA)
    return jsonschema.validators.extend(kind, type_checker=whole)(SCHEMA)


def fits(data: Any) -> bool:
    return bool(validator().is_valid(data))


def loads(data: Any) -> bool:
    try:
        load_config(data).check()
    except ConfigError:
        return False
    return True


def resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def variant(schema: dict[str, Any], node: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    (found,) = [option for option in resolve(schema, node)["anyOf"] if name in option["properties"][key]["enum"]]
    return found


def test_the_schema_describes_the_documented_example_down_to_each_parameter() -> None:
    schema = config_schema()
    top = schema["properties"]
    assert set(top) == {"adapter", "chain", "guesser", "profiles", "sampler", "session"} and schema["required"] == [
        "adapter"
    ]
    assert schema["additionalProperties"] is False and "2020-12" in schema["$schema"]
    temperature = variant(schema, top["chain"]["items"], "name", "temperature")
    finite, infinite = temperature["properties"]["temperature"]["anyOf"]
    assert (finite["minimum"], infinite) == (0, {"const": "inf"}) and temperature["additionalProperties"] is False
    assert sorted(temperature["required"]) == ["name", "temperature"] and temperature["description"]
    assert variant(schema, top["chain"]["items"], "name", "top_p")["properties"]["top_p"]["maximum"] == 1
    assert variant(schema, top["sampler"]["anyOf"][0], "name", "multinomial")["required"] == ["name"]
    session = resolve(schema, top["session"])["properties"]
    assert session["on_undisclosed"]["enum"] == ["error", "truncate"]
    adapters = [option["properties"]["type"]["enum"] for option in resolve(schema, top["adapter"])["anyOf"]]
    assert ["llamacpp", "decodekit:llamacpp"] in adapters


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    schema = config_schema()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"], node["$ref"]
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(schema)


@pytest.mark.parametrize(
    ("part", "good"),
    [
        ({"name": "logit_bias", "logit_bias": {"3": 1.0, "12": False}}, True),
        ({"name": "logit_bias", "logit_bias": {"x": 1.0}}, True),
        ({"name": "logit_bias", "logit_bias": {"-1": 1.0}}, False),
        ({"name": "logit_bias", "logit_bias": {"\u0663": 1.0}}, True),
        ({"name": "logit_bias", "logit_bias": {"": 1.0}}, False),
        ({"name": "logit_bias", "logit_bias": {"9" * 19: 1.0}}, False),
        ({"name": "logit_bias", "logit_bias": {"3": True}}, False),
        ({"name": "logit_bias", "logit_bias": {"3": 1e9}}, False),
        ({"name": "sequence_bias", "sequence_bias": [[[3, 1], 2.0], [[0], False]]}, True),
        ({"name": "sequence_bias", "sequence_bias": [[[3, 1], True]]}, False),
        ({"name": "repetition_penalty", "repetition_penalty": 1.5, "decay": 3, "window": 8}, True),
        ({"name": "repetition_penalty", "repetition_penalty": 1.5, "decay": 0}, True),
        ({"name": "repetition_penalty", "repetition_penalty": 1.5, "decay": 3}, False),
        ({"name": "repetition_penalty", "repetition_penalty": 1.5, "padding": 0}, False),
        ({"name": "repetition_penalty", "repetition_penalty": 1.5, "padding": 0, "window": 8}, True),
        ({"name": "repetition_penalty", "repetition_penalty": 1.5, "slope": 0.5, "decay": 3, "window": 8}, False),
        ({"name": "presence_penalty", "presence_penalty": 0.5, "decay": 3}, False),
        ({"name": "temperature", "temperature": 0.5, "warmth": 1}, False),
    ],
)
def test_the_schema_and_the_loader_agree(part: dict[str, Any], good: bool) -> None:
    data = {"adapter": REMOTE, "chain": [part]}
    assert (fits(data), loads(data)) == (good, good)


# -- any configuration ---------------------------------------------------------------------------------------------


def followed(rule: dict[str, Any]) -> dict[str, Any]:
    return resolve(SCHEMA, rule)


ODD = st.sampled_from([None, True, False, -1, 0, 1, 2, 0.5, -2.5, 1e9, "", "a", "inf", [], [1], ["a"], {}, {"a": 1}])


def values(rule: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Mostly what a rule takes or nearly takes; sometimes anything."""
    rule = followed(rule)
    made: list[st.SearchStrategy[Any]] = [ODD]
    if "const" in rule or "enum" in rule:
        made.append(st.sampled_from(rule.get("enum", [rule.get("const")])))
    for inner in rule.get("anyOf", []):
        made += [values(inner, depth)] * 3
    kind = rule.get("type")
    if kind in ("integer", "number"):
        ends = [rule[key] for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if key in rule]
        step = 1 if kind == "integer" else 0.125
        near = [each + shift for each in ends for shift in (-step, 0, step)] or [0, 3]
        made += [st.sampled_from(near if kind == "integer" else [*near, *map(float, near)])] * 4
    elif kind == "string":
        made += [st.text("ab", min_size=rule.get("minLength", 0), max_size=3)] * 3
        if "pattern" in rule:  # of a URL and of a variable's name
            near = ["http://h", "HTTPS://h:1/v1", "ftp://h", "http://u:p@h", "http://h?a=b", "KEY", "key"]
            made += [st.sampled_from(near)] * 3
    elif kind == "array" and depth < 3:
        items = rule.get("items") if isinstance(rule.get("items"), dict) else {}
        first = [values(each, depth + 1) for each in rule.get("prefixItems", [])]
        made += [st.tuples(*first).map(list) if first else st.lists(values(items or {}, depth + 1), max_size=2)] * 3
    elif kind == "object" and "additionalProperties" in rule and depth < 3:
        inner = rule["additionalProperties"]
        keys = st.sampled_from(["3", "0", "x", "-1", "007"])
        made.append(st.dictionaries(keys, values(inner if isinstance(inner, dict) else {}, depth + 1), max_size=2))
    return st.one_of(made)


@st.composite
def parts(draw: st.DrawFn, group: str) -> dict[str, Any]:
    """A table that names a plugin of the group and gives some of its parameters."""
    variant = draw(st.sampled_from(SCHEMA["$defs"][group]["anyOf"]))
    chosen = {}
    for key, rule in variant["properties"].items():
        if key in ("name", "type"):
            if key != "name" or "type" not in variant["properties"] or draw(st.integers(0, 9)) == 0:
                chosen[key] = draw(st.sampled_from(rule["enum"]))
        elif draw(st.integers(0, 9)) < (8 if key in variant["required"] else 2):
            chosen[key] = draw(values(rule))
    if draw(st.integers(0, 19)) == 0:
        chosen[draw(st.sampled_from(["spare", "name", "type"]))] = draw(ODD)
    return chosen


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    data: dict[str, Any] = {"adapter": REMOTE}
    session = followed(SCHEMA["properties"]["session"])["properties"]
    kinds = ["adapter", "chain", "preset", "sampler", "guesser", "alone", "session", "profiles", "odd"]
    part = draw(st.sampled_from([*kinds, "chain", "chain"]))
    if part == "chain":
        data["chain"] = draw(st.lists(parts("processors_by_name"), min_size=1, max_size=2) | ODD)
    elif part == "preset":
        named = SCHEMA["properties"]["chain"]["properties"]["preset"]["enum"]
        data["chain"] = {"preset": draw(st.sampled_from([*named, "decodekit:nobody", ""]))}
    elif part == "alone":
        kind = draw(st.sampled_from(["sampler", "guesser"]))
        options = SCHEMA["$defs"][f"{kind}s_by_name"]["anyOf"]
        named = [each for option in options for each in option["properties"]["name"]["enum"]]
        data[kind] = draw(st.sampled_from([*named, "decodekit:nobody"]))
    elif part in ("adapter", "sampler", "guesser"):
        data[part] = draw(parts(f"{part}s_by_name"))
    elif part == "session":
        keys = st.lists(st.sampled_from([*session, "sed"]), min_size=1, max_size=2)
        data["session"] = {key: draw(values(session.get(key, {}))) for key in draw(keys)}
    elif part == "profiles":
        inner = st.dictionaries(st.sampled_from(["session", "chain", "sesion"]), ODD, max_size=2)
        data["profiles"] = draw(st.dictionaries(st.just("p"), inner | ODD, max_size=1) | ODD)
    else:
        data[draw(st.sampled_from(["adapter", "sampler", "guesser", "session", "more"]))] = draw(ODD)
    return data


@settings(max_examples=300, deadline=None)
@given(configs())
def test_what_the_schema_takes_loads_and_what_it_refuses_does_not(data: dict[str, Any]) -> None:
    if isinstance(data.get("guesser"), dict):
        for key in ("min_ngram", "max_ngram"):  # which of them is the larger is not in the schema
            data["guesser"].pop(key, None)
    if isinstance(data.get("chain"), str):
        return  # its grammar is not in the schema either
    chain = data.get("chain") if isinstance(data.get("chain"), list) else []
    if any(isinstance(part, dict) and {"lark", "regex", "json_schema", "tools"} & {*part} for part in chain):
        return  # nor what a grammar, a regular expression or a JSON Schema may be
    assert fits(data) == loads(data), data
