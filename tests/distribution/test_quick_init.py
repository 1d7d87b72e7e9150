"""A frozen dataclass with `quick_init` is the same dataclass."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from decodekit import Choice, Context
from decodekit.chain import Entry
from decodekit.distribution.disclosure import Tail
from decodekit.distribution.frozen import quick_init
from decodekit.draw.choice import Draw
from decodekit.trace.step import RawSummary, Step, Timing


@quick_init
@dataclass(frozen=True, slots=True)
class Sample:
    """A value."""

    first: int
    second: float = 2.5
    third: list[int] = field(default_factory=list)


class Special(Sample):
    """It has a dictionary of its own, so its instances are laid out differently."""


def test_it_has_the_fields_and_defaults_of_the_dataclass() -> None:
    one, other = Sample(1), Sample(first=1, second=2.5, third=[])
    assert one == other and one.third is not other.third and repr(one) == repr(other)
    assert type(one) is Sample and Sample(1, 3.0, [4]).third == [4]
    for wrong in ((), (1, 2.0, [], 4)):
        with pytest.raises(TypeError):
            Sample(*wrong)
    with pytest.raises(TypeError):
        Sample(1, fourth=2)  # type: ignore[call-arg]
    assert list(inspect.signature(Sample).parameters) == ["first", "second", "third"]


def test_it_never_changes_and_can_be_copied() -> None:
    one = Sample(1)
    for change in (lambda: setattr(one, "first", 2), lambda: delattr(one, "first"), lambda: setattr(one, "new", 2)):
        with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
            change()
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), replace(one)):
        assert twin == one and type(twin) is Sample
    assert replace(one, second=4.0) == Sample(1, 4.0)


def test_a_subclass_stays_one() -> None:
    special = Special(7)
    assert type(special) is Special and (special.first, special.second, special.third) == (7, 2.5, [])


@pytest.mark.parametrize("kind", [Choice, Draw, Context, Entry, RawSummary, Timing, Step, Tail])
def test_the_classes_of_a_step_take_all_their_fields(kind: Any) -> None:
    names = [part.name for part in fields(kind)]
    values = {name: object() for name in names}
    made = kind(**values)
    assert type(made) is kind and all(getattr(made, name) is value for name, value in values.items())
    assert kind(*values.values()).__reduce_ex__(2)[2] == made.__reduce_ex__(2)[2]
