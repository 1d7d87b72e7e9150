"""Each piece of advice, and the fact that it rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decodekit import Chain, Context, Distribution, Randomness, processor
from decodekit.chain.advice import advice
from decodekit.plugin import registry


def chain(*parts: tuple[str, object], sampler: str = "multinomial") -> Chain:
    return Chain([processor(name, **{name: value}) for name, value in parts], sampler)


def rules(*parts: tuple[str, object], sampler: str = "multinomial") -> list[str]:
    return [item.rule for item in advice(chain(*parts, sampler=sampler))]


class Named:
    """A stranger's processor: a name, and what it says of itself."""

    def __init__(self, name: str, **traits: object) -> None:
        self.name = name
        for trait, value in traits.items():
            setattr(self, trait, value)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        return dist


LLAMACPP = [("repetition_penalty", 1.1), ("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temperature", 0.8)]
TRANSFORMERS = [("repetition_penalty", 1.1), ("temperature", 0.8), ("top_k", 50), ("top_p", 0.9), ("min_p", 0.1)]


@pytest.mark.parametrize("parts", [[], LLAMACPP, TRANSFORMERS, [("temperature", 0.0)], [("logit_bias", {1: 2.0})] * 2])
def test_a_chain_without_traps_gets_no_advice(parts: list[tuple[str, object]]) -> None:
    assert rules(*parts) == []


def test_a_processor_written_twice_is_told_with_what_that_means() -> None:
    (twice,) = advice(chain(("top_k", 40), ("top_p", 0.9), ("top_k", 20)))
    assert (twice.rule, twice.places, twice.source) == ("repeated", (0, 2), "")
    assert twice.message == "top_k occurs 2 times: each one cuts what the one before has kept; write one"
    (warm,) = advice(chain(("temperature", 0.8), ("temperature", 0.5)))
    assert "in total by 0.4" in warm.message
    assert rules(("frequency_penalty", 0.5), ("frequency_penalty", 0.5)) == ["repeated"]


@pytest.mark.parametrize("hot", [[1.5], [2.0], [3.0, 0.5]])
def test_min_p_after_heat_is_told_with_the_min_p_that_it_amounts_to(hot: list[float]) -> None:
    heat = [("temperature", value) for value in hot]
    found = advice(chain(*heat, ("min_p", 0.1)))[-1]
    assert found.rule == "cut_after_heat" and found.places == (*range(len(hot)), len(hot)) and found.source
    same = float(found.message.partition("what min_p=")[2].split()[0])
    assert same == pytest.approx(0.1 ** float(np.prod(hot)), rel=5e-3)
    rng = np.random.default_rng(0)
    for _ in range(50):
        dist = Distribution.dense(rng.normal(size=200) * 3)
        after = chain(*heat, ("min_p", 0.1)).apply(dist, Context())
        before = chain(("min_p", 0.1 ** float(np.prod(hot)))).apply(dist, Context())
        assert set(after.support()) == set(before.support())


def test_heat_after_the_cut_or_below_the_mark_is_no_trap() -> None:
    assert rules(("min_p", 0.1), ("temperature", 2.0)) == rules(("temperature", 1.4), ("min_p", 0.1)) == []
    assert rules(("temperature", 1.4), ("top_k", 5), ("temperature", 1.2), ("top_p", 0.9))[-1] == "cut_after_heat"
    assert rules(("temperature", 2.0), ("top_k", 5)) == []  # an order of scores does not feel heat


MEASURING = [
    processor("typical_p", typical_p=0.9),
    processor("top_n_sigma", top_n_sigma=1.0),
    processor("top_h", top_h=0.4),
    processor("eta_cutoff", eta_cutoff=1e-3),
    processor("mirostat_v2", mirostat_v2=5.0),
    Named("strange_p", kind="truncation", measures=("entropy", "arXiv 0000.00000")),
]


@pytest.mark.parametrize("part", MEASURING, ids=registry.name_of)
def test_what_measures_the_whole_belongs_before_what_cuts_it(part: object) -> None:
    name = registry.name_of(part)
    (found,) = advice(Chain([processor("top_k", top_k=5), part]))
    assert (found.rule, found.places) == ("measure_after_cut", (0, 1))
    assert found.message.startswith(f"{name} comes after top_k: ") and found.source.startswith("arXiv ")
    assert advice(Chain([part, processor("top_k", top_k=5)])) == []
    assert [item.rule for item in advice(Chain([part, part]))] == ["repeated"]


def test_what_a_stranger_says_of_itself_is_believed() -> None:
    """The names of our own plugins play no part."""
    heat = Named("temperature")
    cut = Named("shave", kind="truncation", after_heat=lambda t: f"it is {t:g} times as hot")
    assert advice(Chain([heat, cut])) == []
    found = advice(Chain([processor("temperature", temperature=2.0), cut]))
    assert [item.rule for item in found] == ["cut_after_heat"] and "it is 2 times as hot" in found[0].message
    (late,) = advice(Chain([cut, Named("nudge", kind="bias")]))
    assert late.rule == "addition_after_cut" and "nudge comes after shave" in late.message


@pytest.mark.parametrize("value", [{3: 50.0}, {3: False}])
def test_a_bias_after_a_cut_cannot_bring_a_token_back(value: dict[int, object]) -> None:
    late = chain(("top_k", 2), ("logit_bias", value))
    (found,) = advice(late)
    assert (found.rule, found.places) == ("addition_after_cut", (0, 1))
    assert 3 not in late.apply(Distribution.dense([3.0, 2.0, 1.0, 0.0]), Context()).support()
    assert rules(("logit_bias", value), ("top_k", 2)) == []


def test_a_mask_that_depends_on_the_text_belongs_before_a_cut() -> None:
    def found(*parts: object) -> list[tuple[int, ...]]:
        return [item.places for item in advice(Chain(parts)) if item.rule == "mask_after_cut"]

    cut, fixed = processor("top_k", top_k=4), processor("allowed_tokens", allowed_tokens=[1, 2])
    grammar = Named("grammar", kind="mask", needs_state=True)
    assert found(cut, grammar) == [(0, 1)] and found(grammar, cut) == found(cut, fixed) == []


def test_what_follows_the_last_token_changes_nothing() -> None:
    for one in (("temperature", 0.0), ("top_k", 1)):
        alone, followed = chain(one), chain(one, ("min_p", 0.5), ("temperature", 0.7))
        (found,) = (item for item in advice(followed) if item.rule == "after_the_last_token")
        assert found.places == (0, 1, 2) and "min_p and temperature after it" in found.message
        dist = Distribution.dense([0.5, 2.0, 1.0])
        assert followed.apply(dist, Context()).support().tolist() == alone.apply(dist, Context()).support().tolist()
    assert advice(Chain([processor("top_k", top_k=1), Named("healer", revives=True)])) == []


def test_under_greedy_only_what_a_later_processor_builds_on_has_an_effect() -> None:
    (found,) = advice(chain(("temperature", 0.7), ("top_p", 0.9), sampler="greedy"))
    assert (found.rule, found.places, found.source) == ("greedy_and_order", (0, 1), "huggingface/transformers#31839")
    assert "temperature and top_p" in found.message
    assert rules(("temperature", 0.1), ("frequency_penalty", 1.0), sampler="greedy") == []
    rng, ctx = np.random.default_rng(1), Context([0], [1, 2, 2])
    moved = 0
    for _ in range(200):
        dist = Distribution.dense(rng.normal(size=6))
        tokens = [
            Chain(parts, "greedy").step(dist, ctx, (None,) * (len(parts) + 1), Randomness(0).at(3))[1].token_id
            for parts in (
                [],
                [processor("temperature", temperature=0.7), processor("top_p", top_p=0.9)],
                [processor("frequency_penalty", frequency_penalty=1.0)],
                [processor("temperature", temperature=0.1), processor("frequency_penalty", frequency_penalty=1.0)],
            )
        ]
        assert tokens[0] == tokens[1]
        moved += tokens[2] != tokens[3]
    assert moved > 0  # a temperature before a penalty does matter


PARTS = [
    *(("temperature", value) for value in (0.0, 0.7, 2.0)),
    *(("top_k", value) for value in (1, 5)),
    *(("min_p", 0.1), ("top_p", 0.9), ("logit_bias", {0: 1.0}), ("repetition_penalty", 1.2)),
]


@given(st.lists(st.sampled_from(PARTS), max_size=6), st.sampled_from(["multinomial", "greedy", "inverse_cdf"]))
def test_advice_names_parts_that_are_there_and_says_each_thing_once(
    parts: list[tuple[str, object]], sampler: str
) -> None:
    found = advice(chain(*parts, sampler=sampler))
    for item in found:
        assert all(parts[place][0] in item.message for place in item.places)
        assert list(item.places) == sorted(set(item.places))
    assert len({(item.rule, item.places) for item in found}) == len(found)


def test_a_chain_of_strangers_gets_no_advice() -> None:
    assert advice(Chain([Named("anything"), Named("top_k"), Named("temperature"), Named("anything")])) == []
