from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import decodekit
from decodekit.errors import ConfigError
from decodekit.plugin.one_line import parse_chain, parse_setting, parse_value
from decodekit.testing import NGramAdapter


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("   ", []),
        ("temperature=0.8", [{"name": "temperature", "temperature": 0.8}]),
        (" a=1\tb=2\n", [{"name": "a", "a": 1}, {"name": "b", "b": 2}]),
        ("top_p(top_p=0.9, min_keep=2)", [{"name": "top_p", "top_p": 0.9, "min_keep": 2}]),
        ("top_p( )", [{"name": "top_p"}]),
        ("bare other", [{"name": "bare"}, {"name": "other"}]),
        ("a(scope=output)", [{"name": "a", "scope": "output"}]),
        ("a=true b=-1e-3 c=0x10", [{"name": "a", "a": True}, {"name": "b", "b": -0.001}, {"name": "c", "c": 16}]),
        ("a=\"x (y), z\" b='q\\'", [{"name": "a", "a": "x (y), z"}, {"name": "b", "b": "q\\"}]),
        ("a=2020-01-01", [{"name": "a", "a": "2020-01-01"}]),
    ],
)
def test_a_chain_reads_as_the_config_would_list_it(text: str, parts: list[dict[str, object]]) -> None:
    assert parse_chain(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top_p=", "--chain, column 7: expected a value for 'top_p', found its end"),
        ("a=1 =2", "--chain, column 5: expected a name, found '=2'"),
        ("a(b)", "--chain, column 4: expected '=' after 'b', found ')'"),
        ("a(b=1", "--chain, column 6: expected ',' or ')', found its end"),
        ("a(b=1 c=2)", "--chain, column 7: expected ',' or ')', found 'c=2)'"),
        ("a(b=1,b=2)", "--chain, column 7: expected each parameter once"),
        ("a(name=1)", "--chain, column 3: expected each parameter once, and none called 'name'"),
        ("a(b=1)c", "--chain, column 7: expected a space before the next one, found 'c'"),
        ("a=1,b=2", "--chain, column 4: expected a space, and no comma, before the next one"),
        ('a="\\q"', "--chain, column 3: expected a TOML string"),
        ('a="x', "--chain, column 3: expected a value for 'a'"),
        ("a=[1]", "--chain, column 3: expected a number, true, false or text"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_chain(text)
    assert str(caught.value).startswith(message)


GRAMMAR = st.lists(st.sampled_from(["a", "name", "=", "(", ")", ",", " ", "1", '"', "'", "[", "]", "#", "\\", "\n"]))


@given(st.text() | GRAMMAR.map("".join))
@example("a=" + "9" * 5000)
@example("a=" + "[" * 5000)
def test_any_text_is_a_chain_or_a_config_error(text: str) -> None:
    try:
        parts = parse_chain(text)
    except ConfigError:
        return
    for part in parts:
        assert isinstance(part["name"], str)
        assert all(isinstance(value, bool | int | float | str) for value in part.values())


@given(st.text())
@example("k=1 # not a comment")
@example("k=" + "[" * 5000)
@example("k=1\nb=2")
def test_any_setting_is_a_pair_or_a_config_error(text: str) -> None:
    try:
        key, _ = parse_setting(text)
    except ConfigError:
        return
    assert text.split("=")[0].strip() == key


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("true", True),
        ("/models/a b.gguf", "/models/a b.gguf"),
        ('"4"', "4"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("1, 2", "1, 2"),
        ("1 # no comment", "1 # no comment"),
        ("1]\nother = [2", "1]\nother = [2"),
        ("1,", "1,"),
        ("", ""),
    ],
)
def test_a_setting_is_toml_and_otherwise_the_text_itself(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_a_setting_that_begins_as_toml_and_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a TOML value"):
        parse_value('"open')


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        ("temp=0.8", "did you mean 'temperature'"),
        ("max_tokens=5", "'max_tokens' is an option of the call, and no part of a chain"),
        ("preset=vllm", r"another engine's chain: Chain.preset\('vllm'\)"),
        ("top_p=.9", "must be a number, not '.9'; as a number it is 0.9"),
        ("x" * 100_000, "no processor is named 'x{27}...x{28}'"),
        ("logit_bias={'a'=1}", "lists and tables go into a config file, found"),
        ("DecodeKit:top_p=0.9", "no processor of a distribution 'DecodeKit' is named 'top_p'; write decodekit:top_p"),
        (["top_p=0.9", "greedy"], "a chain of texts is written as one text: 'top_p=0.9 greedy'"),
        ([print, "greedy"], r"a sampler is given as Chain\(processors, sampler='greedy'\)"),
        ([("top_p", 0.9)], r"write processor\('top_p', top_p=0.9\)"),
        ({"top_k": 3, "top_p": 0.9}, "write 'top_k=3 top_p=0.9'"),
    ],
)
def test_what_is_nearly_a_chain_says_which_form_was_meant(chain: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        decodekit.Session(NGramAdapter("abab"), chain)
