"""Temperature curves without sampling: the probability of given answers at many temperatures, from one forced pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.answers.chains import chain_curve
from decodekit.analysis.answers.crossing import Crossing, crossings
from decodekit.analysis.answers.near_misses import near_miss_mass, prefix_free
from decodekit.analysis.answers.tempered import known_temperatures
from decodekit.analysis.answers.tree import Ids, Tree
from decodekit.analysis.scores.scored import Bounded
from decodekit.chain import Chain
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import blocking
from decodekit.plugin import registry
from decodekit.session.continuation import Continuation, known_candidates, prefix_and_tokens
from decodekit.session.prompts import Prompt
from decodekit.types import Floats

__all__ = ["Curves", "curves", "temperature_curve"]

_MASS = "the mass of the answers"
_ROUNDING = 1e-12  # of one minus a sum of probabilities


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The probability of a answers at m temperatures, and what lies beside them. Bounds are equal where exact.

    Args:
        temperatures: float64[m].
        answers: the token ids of each, with the token that ends it where one was asked for.
        logprob: a by m in nats, log P_T(answer | prompt): that the text begins with these tokens.
        entropy: a by m in nats, the mean entropy of the distributions before the tokens of each answer; None under a
            chain.
        together: m, the probability that the text begins with any of the answers.
        near: m, the probability that it begins with a near miss; None where it was not asked for.
        rest: m, what is left; None without ``near``.
        chance: float64[a] in nats, minus the number of tokens times log V; None where V is not known.
    """

    temperatures: Floats
    answers: tuple[Ids, ...]
    logprob: Bounded
    entropy: Bounded | None
    together: Bounded
    near: Bounded | None
    rest: Bounded | None
    chance: Floats | None

    @property
    def logprobs(self) -> Floats:
        """float64[a, m] in nats. Raises `Undisclosed` where an adapter disclosed too little."""
        return self.logprob.values

    def overtaken(self, first: int, second: int) -> list[Crossing]:
        """Where one answer becomes more probable than another, or less, by their numbers.

        Raises:
            ParameterError: there is no such answer.
            Undisclosed: as `logprobs`.
        """
        first, second = self._number(first), self._number(second)
        return crossings(self.temperatures, self.logprobs[first], self.logprobs[second])

    def below_chance(self, answer: int) -> list[Crossing]:
        """Where an answer becomes less probable than uniformly random tokens, or more.

        Raises:
            ParameterError: the size of the vocabulary is not known, or there is no such answer.
            Undisclosed: as `logprobs`.
        """
        if self.chance is None:
            raise ParameterError("the size of the vocabulary is not known, and so neither is the level of chance")
        answer = self._number(answer)
        level = np.full(len(self.temperatures), self.chance[answer])
        return crossings(self.temperatures, self.logprobs[answer], level)

    def _number(self, answer: int) -> int:
        return whole(answer, "the number of an answer", 0, len(self.answers) - 1)


def temperature_curve(
    adapter: Adapter | AsyncAdapter,
    prompt: Prompt,
    answers: Sequence[Continuation],
    temperatures: Sequence[float] | Floats,
    chain: Chain | str | None = None,
) -> Floats:
    """log P_T(answer | prompt) of each answer at each temperature: float64[answers, temperatures], in nats.

    Nothing is drawn: one forced pass gives the scores along the answers, and the temperatures are applied to these.

    Args:
        adapter: the model.
        prompt: text, ids, messages or a prefix.
        answers: texts or token ids, tokenised as by `Session.score`.
        temperatures: from 0 to infinity.
        chain: what comes after the temperature, such as "top_p=0.9"; the law is then that of this chain.

    Raises:
        ParameterError: no answers, one without tokens or an empty grid; a chain whose law is not one distribution.
        Undisclosed: the adapter disclosed too little for an exact value; `curves` has bounds.
        ContextOverflow: an answer does not fit the model's context.
        DecodekitError: the adapter's answer for a prefix.
    """
    return curves(adapter, prompt, answers, temperatures, chain=chain).logprobs


def curves(
    adapter: Adapter | AsyncAdapter,
    prompt: Prompt,
    answers: Sequence[Continuation],
    temperatures: Sequence[float] | Floats,
    *,
    chain: Chain | str | None = None,
    end: int | None = None,
    near: int = 0,
) -> Curves:
    """As `temperature_curve`, with bounds, entropies and the mass beside the answers.

    Args:
        adapter, prompt, answers, temperatures, chain: as for `temperature_curve`; with a chain all is exact, or raised
            as `Undisclosed`.
        end: a token that ends each answer, such as the end of text; without it an answer may go on in any way.
        near: how many of the most likely alternatives to try at each place of an answer, for the mass of near misses
            (see `decodekit.analysis.answers.near_misses`); 0 leaves it out. More give narrower bounds; the cost grows
            with the square of an answer's length. Not under a chain.

    Raises:
        ParameterError, ContextOverflow, DecodekitError: as `temperature_curve`; two answers have the same tokens.
    """
    grid, model = known_temperatures(temperatures), blocking(adapter)
    near, size = whole(near, "near", 0, 2**31 - 1), model.info.vocab_size
    end = None if end is None else whole(end, "end", 0, (2**63 if size is None else size) - 1)
    prefix, tokens = prefix_and_tokens(model, prompt, known_candidates(answers), several=True)
    listed = tuple((*each[0], end) if end is not None else each[0] for each in tokens)
    if len(set(listed)) < len(listed):
        raise ParameterError("answers: two have the same tokens; give each once")
    ends: frozenset[int] = frozenset() if model.tokenizer is None else frozenset(model.tokenizer.eos_ids)
    ends |= {end} if end is not None else set()
    apart = prefix_free(listed)
    chance = None if size is None else np.array([-len(ids) * math.log(size) for ids in listed])
    if chain is not None:
        if near:
            raise ParameterError("near: the mass of near misses is that of the model, not of a chain; leave one out")
        logprobs = chain_curve(model, prefix, listed, _tempered(grid, Chain.of(chain)))
        mass = np.minimum(1.0, sum(np.exp(logprobs[listed.index(ids)]) for ids in apart))
        exact = Bounded(logprobs, logprobs, "log P of an answer")
        return Curves(grid, listed, exact, None, Bounded(mass, mass, _MASS), None, None, chance)
    tree = Tree(model, prefix, grid)
    tree.add(listed, near, sorted(ends) if near else ())
    bounds = [tree.bounds(ids) for ids in listed]
    low, high = np.minimum(1.0, sum(np.exp(tree.bounds(ids)) for ids in apart))
    together = Bounded(low, high, _MASS)
    beside = rest = None
    if near:
        low, high = near_miss_mass(tree, apart, end, ends, near)
        beside = Bounded(low, np.clip(high, low, 1 - together.low), "the mass of near misses")
        low, high = (1 - side for side in (together.high + beside.high, together.low + beside.low))
        low, high = (np.where(side > _ROUNDING, side, 0.0) for side in (low, high))
        rest = Bounded(low, high, "the rest")
    return Curves(
        grid,
        listed,
        Bounded(np.array([low for low, _ in bounds]), np.array([high for _, high in bounds]), "log P of an answer"),
        _entropy(tree, listed),
        together,
        beside,
        rest,
        chance,
    )


def _tempered(grid: Floats, chain: Chain) -> list[Chain]:
    """The chain after each temperature."""
    first = [registry.processor("temperature", temperature=each) for each in grid.tolist()]
    return [Chain([each, *chain.processors], chain.sampler) for each in first]


def _entropy(tree: Tree, answers: Sequence[Ids]) -> Bounded:
    """The mean entropy before the tokens of each answer."""
    nodes = [[tree.nodes[ids[:at]] for at in range(len(ids))] for ids in answers]
    low = np.array([np.mean([node.entropy_low for node in each], axis=0) for each in nodes])
    high = np.array([np.mean([node.entropy_high for node in each], axis=0) for each in nodes])
    return Bounded(low, high, "the entropy")
