"""What is wrong with parameters is said in our words: each kind of error that a parameter of ours can give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from decodekit import ParameterError, Plugin, processor
from decodekit.plugin import parameter_model, registry, validated


class Every(BaseModel):
    """A parameter of each type that our plugins and strangers' use."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, hide_input_in_errors=False
    )

    whole: Annotated[int, Field(ge=1, le=9)] = 1
    number: Annotated[float, Field(gt=0, lt=9)] = 1.0
    flag: bool = True
    text: Annotated[str, Field(min_length=2, max_length=4, pattern="^a")] = "aa"
    choice: Literal["red", "green"] = "red"
    union: Annotated[float, Field(ge=0)] | Literal["inf"] = 0.0
    ids: tuple[Annotated[int, Field(ge=0)], ...] = ()
    several: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    words: tuple[str | tuple[int, ...], ...] = ()
    biases: dict[int, float | bool] = {}
    call: Callable[..., Any] | None = None
    data: bytes | None = None
    kind: Exception | None = None
    even: Annotated[int, Field(multiple_of=2)] = 2
    unique: frozenset[int] = frozenset()
    nothing: None = None
    pair: tuple[int, str] = (1, "a")


SAID = [
    ({"whole": "1"}, "it: whole: must be a whole number, not '1'; as a number it is 1"),
    ({"whole": 1.5}, "it: whole: must be a whole number, not 1.5"),
    ({"whole": 10}, "it: whole: must be less than or equal to 9, not 10"),
    ({"number": "x"}, "it: number: must be a number, not 'x'"),
    ({"number": 0}, "it: number: must be greater than 0, not 0"),
    ({"number": float("nan")}, "it: number: must be a finite number, not nan"),
    ({"flag": 1}, "it: flag: must be true or false, not 1"),
    ({"text": 3}, "it: text: must be text, not 3"),
    ({"text": "a"}, "it: text: must be text of at least 2 characters, not 'a'"),
    ({"text": "aaaaa"}, "it: text: must be text of at most 4 characters, not 'aaaaa'"),
    ({"text": "ba"}, "it: text: must be text of the form ^a, not 'ba'"),
    ({"choice": "blue"}, "it: choice: must be 'red' or 'green', not 'blue'"),
    ({"union": -1}, "it: union: must be greater than or equal to 0 or 'inf', not -1"),
    ({"union": "x"}, "it: union: must be a number or 'inf', not 'x'"),
    ({"ids": 3}, "it: ids: must be a list, not 3"),
    ({"ids": (1, -1)}, "it: ids.1: must be greater than or equal to 0, not -1"),
    ({"several": []}, "it: several: must be a list that is not empty, not []"),
    ({"several": ["a"] * 3}, "it: several: must be at most 2 items long, not ['a', 'a', 'a']"),
    ({"words": (3,)}, "it: words.0: must be text or a list, not 3"),
    ({"words": ((1, "x"),)}, "it: words.0.1: must be a whole number, not 'x'"),
    ({"biases": 3}, "it: biases: must be a table, not 3"),
    ({"biases": {"x": 1.0}}, "it: biases.x: the name 'x' must be a whole number"),
    ({"biases": {3: "x"}}, "it: biases.3: must be a number or true or false, not 'x'"),
    ({"call": 3}, "it: call: must be a function, not 3"),
    ({"data": 3}, "it: data: must be bytes, not 3"),
    ({"kind": 3}, "it: kind: must be of the type Exception, not 3"),
    ({"even": 3}, "it: even: must be a multiple of 2, not 3"),
    ({"unique": 3}, "it: unique: must be a list, not 3"),
    ({"nothing": 3}, "it: nothing: must be absent, not 3"),
    ({"pair": (1, 2)}, "it: pair.1: must be text, not 2"),
    ({"pair": (1,)}, "it: parameter 'pair.1' is missing"),
    ({"wole": 3}, "it: unknown parameter 'wole'; did you mean 'whole'?"),
    ({"whole": None, "flag": 3}, "it: whole: must be a whole number, not None; it: flag: must be true or false, not 3"),
]


@pytest.mark.parametrize(("given", "said"), SAID, ids=[str(given) for given, _ in SAID])
def test_each_kind_of_error_has_its_words(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        validated(Every, given, "it")
    assert str(caught.value) == said


def test_the_error_does_not_hold_pydantics_which_holds_the_values() -> None:
    with pytest.raises(ParameterError) as caught:
        validated(Every, {"whole": "x"}, "it")
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, ValidationError)
        error = error.__context__ or error.__cause__


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ParameterError) as caught:
        validated(Every, {"whole": "x" * 10_000}, "it")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("temperature", {"temperature": -1}), "must be greater than or equal to 0, not -1"),
        (("logit_bias", {"logit_bias": {3: "x"}}), "logit_bias.3: must be a number or true or false, not 'x'"),
        (("dry", {"breakers": ["x" * 41]}), "breakers: a breaker has at most 40 bytes"),
        (("repetition_penalty", {"repetition_penalty": 1.5, "decay": 3}), "decay begins where the window ends"),
    ],
)
def test_our_own_plugins_say_it_so(call: tuple[str, dict[str, Any]], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        processor(call[0], **call[1])
    assert said in str(caught.value) and str(caught.value).startswith(f"processor {call[0]!r}: ")


VALUES = (None, True, -1, 2.5, "?", b"?", [], ["?"], [[]], [None], {}, {"?": "?"}, float("nan"), object())
THEIRS = ("Input", "input", "valid ", "instance", "Value error", "pydantic", "dict", "tuple", "str]")


def refusal(model: type[BaseModel], given: dict[str, Any]) -> str:
    try:
        validated(model, given, "it")
    except ParameterError as error:
        return str(error)
    return ""


def test_no_word_of_pydantic_is_in_the_message_of_any_parameter() -> None:
    """Every parameter of every processor, sampler and guesser, with values of each type."""
    seen = 0
    for info in registry.plugins():
        if info.group not in ("processors", "samplers", "guessers"):
            continue
        model = parameter_model(registry.load(info.group, info.name)[0])
        for field in model.model_fields:
            for value in VALUES:
                said = refusal(model, {field: value})
                seen += bool(said)
                assert not [word for word in THEIRS if word in said.replace(repr(value), "")], (info.name, said)
    assert seen > 500


def test_a_plugin_that_is_built_in_code_names_its_parameters() -> None:
    """No word of pydantic, and no address of its pages."""

    class Doubled(Plugin):
        doubled: float

    def said(*args: Any, **params: Any) -> str:
        with pytest.raises(ParameterError) as caught:
            Doubled(*args, **params)
        return str(caught.value)

    assert said(doubled="x") == "plugin 'Doubled': doubled: must be a number, not 'x'"
    assert said() == "plugin 'Doubled': parameter 'doubled' is missing"
    assert said(doubled=1.0, other=2) == "plugin 'Doubled': unknown parameter 'other'; there is doubled"
    assert said(3) == "plugin 'Doubled': 3 has no name; its parameters are doubled"
