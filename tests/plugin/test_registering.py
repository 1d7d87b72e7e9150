"""Plugins of this process, and the mistakes that their authors make: each has its own message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Choice, Context, Distribution, ParameterError, PluginError, Session
from decodekit.plugin.registry import _ADAPTERS, _PROCESSORS, _SAMPLERS
from decodekit.testing import NGramAdapter, check_adapter, check_processor

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def clean() -> Any:
    """Forgets what a test registers."""
    groups = (_ADAPTERS, _PROCESSORS, _SAMPLERS)
    before = [dict(group.registered) for group in groups]
    yield
    for group, names in zip(groups, before, strict=True):
        group.registered.clear()
        group.registered.update(names)


def test_each_kind_is_registered_with_a_name_and_without() -> None:
    @decodekit.register_processor
    def halve_it(dist: Distribution, ctx: Context) -> Distribution:
        return dist.scaled(0.5)

    @decodekit.register_sampler
    def first(dist: Distribution, ctx: Context, randomness: Any) -> Choice:
        return Choice(int(dist.support()[0]), None)

    @decodekit.register_sampler("another_first")
    class First:
        def __call__(self, dist: Distribution, ctx: Context, randomness: Any) -> Choice:
            return first(dist, ctx, randomness)

    @decodekit.register_adapter
    def letters(*, text: str = "abab") -> NGramAdapter:
        return NGramAdapter(text)

    assert halve_it.__name__ == "halve_it"  # still a plain function
    for sampler in ("first", "another_first"):
        session = Session(decodekit.adapter("letters", text="xyxy"), f"halve_it {sampler}")
        assert session.generate("x", max_tokens=2).token_ids == (0, 0)
        assert session.chain.describe()["sampler"]["name"] == sampler
    assert decodekit.open({"adapter": {"type": "letters"}}).generate("a", max_tokens=1).token_ids
    with pytest.raises(ParameterError, match="'greedy' is decodekit's own"):
        decodekit.register_sampler("greedy")(first)


def test_what_could_not_be_used_is_refused_when_it_is_registered() -> None:
    @decodekit.register_processor()
    def with_brackets(dist: Distribution, ctx: Context, *, with_brackets: float = 1.0) -> Distribution:
        return dist.scaled(with_brackets)

    assert Session(NGramAdapter("abab"), "with_brackets=2", seed=1).generate("a", max_tokens=1).token_ids

    def named(dist: Distribution, ctx: Context, *, name: str = "x") -> Distribution:
        return dist

    def of_type(*, type: str = "x") -> NGramAdapter:  # noqa: A002 - the fault
        return NGramAdapter(type)

    def with_model(model: str) -> NGramAdapter:
        return NGramAdapter(model)

    class Silent:
        pass

    @dataclass
    class Data:
        data: float = 1.0

        def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
            return dist

    processor, adapter = decodekit.register_processor, decodekit.register_adapter
    for register, name, wrong, message in (
        (processor, "my proc", named, "'my proc' is no name of a plugin: a letter, and then"),
        (processor, "0.5", named, "'0.5' is no name of a plugin"),
        (processor, "dist:mine", named, "'dist:mine' is no name of a plugin"),
        (processor, "mine", named, "a parameter called 'name' cannot be set"),
        (adapter, "mine", of_type, "a parameter called 'type' cannot be set"),
        (adapter, "mine", with_model, r"write a \* before it: def with_model\(\*, model, ...\)"),
        (processor, "mine", Silent, r"define __call__\(self, dist, ctx\)"),
        (processor, "mine", Data, r"write @dataclass\(kw_only=True\)"),
    ):
        with pytest.raises(ParameterError, match=message):
            register(name)(wrong)  # type: ignore[operator]


def test_a_name_in_a_chain_is_of_one_kind() -> None:
    def anything(*given: Any) -> Any:
        return given[0]

    decodekit.register_processor("one_kind")(anything)
    for register, name, message in (
        (decodekit.register_processor, "greedy", "decodekit has a sampler of this name"),
        (decodekit.register_processor, "provider", "decodekit has a sampler of this name"),
        (decodekit.register_sampler, "top_k", "decodekit has a processor of this name"),
        (decodekit.register_sampler, "one_kind", "registered a processor of this name"),
    ):
        with pytest.raises(ParameterError, match=message):
            register(name)(anything)


def test_a_parameter_that_could_not_be_set_is_refused() -> None:
    def shift(dist: Distribution, ctx: Context, shift: float = 1.0) -> Distribution:
        return dist

    def lonely(dist: Distribution) -> Distribution:
        return dist

    class Made:
        def __init__(self, text: str) -> None: ...

    for wrong, register, message in (
        (shift, decodekit.register_processor, r"'shift' is not keyword-only.*def shift\(dist, ctx, \*, shift, ...\)"),
        (lonely, decodekit.register_processor, r"is called with \(dist, ctx\), and takes only \(dist\)"),
        (lonely, decodekit.register_sampler, r"is called with \(dist, ctx, randomness\)"),
        (Made, decodekit.register_adapter, r"'text' is not keyword-only.*def __init__\(self, \*, text, ...\)"),
    ):
        with pytest.raises(ParameterError, match=message):
            register(wrong)  # type: ignore[operator]


class Counting:
    """A stateful processor whose author forgets the return."""

    def initial(self, ctx: Context) -> int:
        return 0

    def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
        return dist

    def advance(self, state: int, choice: Choice, ctx: Context) -> int:
        state += 1  # type: ignore[return]


def test_a_forgotten_return_in_advance_is_named() -> None:
    session = Session(NGramAdapter("abab"), Counting())
    with pytest.raises(PluginError, match=r"'Counting'.*its advance returned None in place of a state; end it with"):
        session.generate("a", max_tokens=3)


@pytest.mark.parametrize(("there", "missing"), [("initial", "advance"), ("advance", "initial")])
def test_half_a_stateful_plugin_is_told_what_is_missing(there: str, missing: str) -> None:
    part = type("Half", (), {"__call__": Counting.__call__, there: getattr(Counting, there)})()
    with pytest.raises(ParameterError, match=f"has {there} and no {missing}: add {missing}"):
        decodekit.Chain([part])


def test_probabilities_in_place_of_logits_are_caught() -> None:
    class Probabilities(NGramAdapter):
        def predict(self, prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
            return [
                Distribution.dense(np.exp(each.logprobs)) if isinstance(each, Distribution) else each
                for each in super().predict(prefixes, disclose)
            ]

    with pytest.raises(AssertionError, match=r"sum to 1: they are probabilities; give logits, or their logarithms"):
        check_adapter(lambda: Probabilities("abab"), long=False, rounds=1, many=2)


def test_a_processor_that_needs_a_tokenizer_gets_one() -> None:
    def no_e(dist: Distribution, ctx: Context) -> Distribution:
        assert ctx.tokenizer is not None
        return dist.add(ctx.tokenizer.encode("e"), [-2.0])

    assert check_processor(no_e) > 5
