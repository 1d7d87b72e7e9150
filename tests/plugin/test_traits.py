"""What a plugin says of itself is read once, with one default for each attribute."""

from __future__ import annotations

from typing import ClassVar

import pytest

import decodekit
from decodekit import CHEAP, Chain, Context, Disclosure, Distribution
from decodekit.plugin.traits import DECLARED, Traits


def test_a_bare_function_has_the_defaults() -> None:
    traits = Traits.of(max)
    assert traits == Traits() and traits.needs == CHEAP and traits.pure and not traits.stateful


def test_attributes_and_properties_are_read_and_a_state_is_found() -> None:
    class Own:
        kind: ClassVar[str] = "truncation"
        pure = False

        @property
        def needs(self) -> Disclosure:
            return Disclosure(5)

        def initial(self, ctx: Context) -> int:
            return 0

        def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
            return dist

        def advance(self, state: int, choice: object, ctx: Context) -> int:
            return state

    traits = Traits.of(Own())
    assert (traits.kind, traits.pure, traits.needs, traits.stateful) == ("truncation", False, Disclosure(5), True)


@pytest.mark.usefixtures("own_processors")
@pytest.mark.parametrize("name", DECLARED)
def test_a_registered_function_keeps_what_it_declares(name: str) -> None:
    def plain(dist: Distribution, ctx: Context, *, amount: int = 1) -> Distribution:
        return dist

    value = object()
    setattr(plain, name, value)
    decodekit.register_processor(f"declares_{name}")(plain)
    assert getattr(Traits.of(decodekit.processor(f"declares_{name}")), name) is value


def test_what_is_said_decides_what_is_asked_for() -> None:
    def wants(dist: Distribution, ctx: Context) -> Distribution:
        return dist

    wants.needs = Disclosure(3)  # type: ignore[attr-defined]
    assert Chain([wants]).need(Context()) == Disclosure(3)
    cut = decodekit.processor("top_k", top_k=2)
    assert Chain([cut, wants]).need(Context()) == Disclosure(2)  # no tail is left behind a cut
