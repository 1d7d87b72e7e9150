"""What does not change is read once: a server may make a chain for each of its requests."""

from __future__ import annotations

from importlib.metadata import PathDistribution

import pytest

from decodekit import Chain, ConfigError, Session, processor
from decodekit.plugin import parameter_model
from decodekit.plugin.registry import define_group
from tests.session.conftest import table


def test_a_chain_and_a_call_read_no_file_of_a_distribution_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def call() -> None:
        Session(table(), [processor("top_k", top_k=5), processor("min_p", min_p=0.1)], seed=1).generate(
            [1], max_tokens=1
        )

    call()
    read: list[object] = []
    monkeypatch.setattr(PathDistribution, "read_text", lambda _, name: read.append(name))
    call()
    assert read == []


def test_the_parameters_of_a_function_are_read_once(own_processors: None) -> None:
    def narrow(dist, ctx, *, narrow: int = 3):
        return dist.top(narrow)

    assert parameter_model(narrow) is parameter_model(narrow)
    define_group("processors", "processor").register("narrow")(narrow)
    chain = Chain([processor("narrow", narrow=2)])
    assert chain.links[0].name == "narrow"


def test_a_function_that_is_defined_anew_has_parameters_of_its_own() -> None:
    def made(bound: float):
        def plugin(dist, ctx, *, plugin: float = bound):
            return dist

        return plugin

    models = [parameter_model(made(bound)) for bound in (1.0, 2.0)]
    assert [model.model_validate({}).plugin for model in models] == [1.0, 2.0]  # type: ignore[attr-defined]


def test_what_can_not_be_remembered_is_refused_as_before() -> None:
    class Callable:
        __slots__ = ()  # no weak reference

        def __call__(self, dist, ctx):
            return dist

    with pytest.raises(ConfigError, match="cannot be read"):
        parameter_model(Callable())
