"""Which steps of a trace would have drawn another token under another chain, temperature or seed; without the model.

The recorded tokens are held: each step is asked about after the tokens that were recorded before it. Exact where the
record proves the answer, unknown elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from decodekit.chain import Chain
from decodekit.chain.link import link_of
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Undisclosed
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.coupling import chance_of_change
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.draw.whole import whole
from decodekit.errors import ConfigError, ParameterError, TraceError
from decodekit.plugin import registry
from decodekit.plugin.installed import OURS
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.attempts import Attempts
from decodekit.trace.codec import to_line
from decodekit.trace.rebuild import chain_of
from decodekit.trace.redraw import core_sampler_of
from decodekit.trace.reproducing import recorded_context
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding
from decodekit.trace.what_if.asking import Drawn, Unknown, Walk, learns
from decodekit.trace.what_if.recorded_laws import final_law

__all__ = ["Counterfactual", "CounterfactualStep", "ask_again", "chain_as_if"]

Asked = Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str


@dataclass(frozen=True, slots=True)
class CounterfactualStep:
    """One step, asked again.

    Args:
        stream: its sequence.
        index: its place in the sequence.
        token_id: the recorded token.
        other: the token that would have been drawn, the recorded one included; None where the record proves none.
        why: why it is not known; '' where it is.
        probability: of ``other`` under the new distribution; None where it is not known.
        chance: the probability, over all seeds, that this step draws another token: from the old and the new
            distribution with the same random numbers or, if the question names another seed, from the new distribution
            than the recorded token. None where it is not known.
        tv: the total variation distance of the old and the new distribution; None where it is not known.
    """

    stream: int
    index: int
    token_id: int
    other: int | None
    why: str = ""
    probability: float | None = None
    chance: float | None = None
    tv: float | None = None

    @property
    def changed(self) -> bool | None:
        """Whether another token would have been drawn; None where that is not known."""
        return None if self.other is None else self.other != self.token_id


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Which steps would have drawn another token.

    After the first change the model would have read another text. So the later steps say what would have been drawn
    after the recorded tokens, and not what another run would have written.

    Args:
        steps: every step, in the order of the trace.
        chain: the chain that was asked about, as a header describes it.
        seed: the seed that was asked about.
        warnings: what to keep in mind.
    """

    steps: list[CounterfactualStep]
    chain: dict[str, Any]
    seed: int
    warnings: list[str]

    @property
    def changed(self) -> int:
        """How many steps would have drawn another token."""
        return sum(step.changed is True for step in self.steps)

    @property
    def unchanged(self) -> int:
        """How many steps would have drawn the recorded token."""
        return sum(step.changed is False for step in self.steps)

    @property
    def unknown(self) -> int:
        """How many steps the record says nothing of."""
        return sum(step.changed is None for step in self.steps)

    @property
    def first_change(self) -> CounterfactualStep | None:
        """The first step that would have drawn another token; an earlier one may be unknown. None for none."""
        return next((step for step in self.steps if step.changed), None)

    @property
    def expected_changes(self) -> float:
        """The sum of the steps' chances; those that are not known are left out."""
        return math.fsum(step.chance for step in self.steps if step.chance is not None)


def ask_again(
    trace: Trace,
    *,
    chain: Asked | None = None,
    seed: int | None = None,
    temperature: float | None = None,
    tokenizer: Tokenizer | None = None,
    only: tuple[int, int] | None = None,
) -> Counterfactual:
    """Which steps would have drawn another token.

    Args:
        trace: the run.
        chain: another chain; the recorded one if None.
        seed: another seed; the recorded one if None.
        temperature: in place of that of the chain.
        tokenizer: that of the run, for parts that use it.
        only: (stream, index) of the last step that is asked about, where the others are not needed.

    Raises:
        ConfigError, ParameterError: the chain cannot be built, or has no single temperature to replace.
        TraceError: the provider drew.
    """
    if trace.by_provider:
        raise TraceError(
            "the provider drew these tokens with random numbers of its own, so no other chain or seed draws them again"
        )
    seed = trace.header.seed if seed is None else whole(seed, "seed", 0, 2**64 - 1)
    question = _question(trace, chain, temperature)
    steps: list[tuple[int, CounterfactualStep]] = []
    for stream in dict.fromkeys(step.stream for step in trace.steps) if only is None else [only[0]]:
        places = [at for at, step in enumerate(trace.steps) if step.stream == stream]
        places = [at for at in places if only is None or trace.steps[at].index <= only[1]]
        one = _Sequence(trace, question, stream, [trace.steps[at] for at in places], seed, tokenizer)
        steps += zip(places, one.steps(), strict=True)
    steps.sort(key=lambda each: each[0])
    return Counterfactual([step for _, step in steps], question.described, seed, _warnings(trace))


@dataclass(frozen=True, slots=True)
class _Question:
    """A chain that is asked about.

    Args:
        described: as a header describes it.
        links: its parts; without the processors where they are the recorded ones and cannot be built.
        common: how many processors at its beginning are the recorded ones.
        built: whether the processors are among the links.
    """

    described: dict[str, Any]
    links: tuple[Any, ...]
    common: int
    built: bool


def _question(trace: Trace, given: Asked | None, temperature: float | None) -> _Question:
    recorded = trace.header.chain["processors"]
    if given is None and temperature is None:
        try:
            return _Question(trace.header.chain, chain_of(trace).links, len(recorded), True)
        except ConfigError as error:
            sampler = _recorded_sampler(trace, error)
            return _Question(trace.header.chain, (link_of(sampler, {}),), len(recorded), False)
    asked = chain_of(trace) if given is None else Chain.of(given)
    if temperature is not None:
        asked = chain_as_if(asked, [{"name": "temperature", "temperature": temperature}])
    described = asked.describe()
    common = 0
    for one, other in zip(described["processors"], recorded, strict=False):
        if to_line(one) != to_line(other):
            break
        common += 1
    return _Question(described, asked.links, common, True)


def _recorded_sampler(trace: Trace, error: ConfigError) -> Callable[..., Any]:
    """The sampler of the core that the header names. Raises `ConfigError` for another one, with why it is not built."""
    described = trace.header.chain.get("sampler", {})
    if described.get("distribution") != OURS or described.get("name") not in CORE_SAMPLERS:
        raise ConfigError(
            f"the recorded sampler {described.get('name')!r} is needed, and cannot be built: {error} "
            "(chain= takes a whole chain, on the command line --chain)"
        ) from error
    return CORE_SAMPLERS[described["name"]]


def chain_as_if(chain: Chain, parts: Sequence[Mapping[str, Any]], sampler: Mapping[str, Any] | None = None) -> Chain:
    """A chain in which some parts have other parameters; those that are not named stay as they are.

    Args:
        chain: the chain.
        parts: processors as data, such as ``{"name": "temperature", "temperature": 1.2}``; each replaces the one of
            its name, ``{"name": "dist:name", ...}`` that of this distribution.
        sampler: another sampler as data; None for that of the chain.

    Raises:
        ParameterError: the chain has no such part, or several; or nothing is changed, a part has no parameter or is
            named twice; or a parameter is unknown or out of range.
    """
    described, processors = chain.describe()["processors"], list(chain.processors)
    if not parts and sampler is None:
        raise ParameterError("nothing is to be changed; name a part of the chain, such as 'temperature=1.2'")
    names = [part["name"] for part in parts]
    for part in parts:
        if names.count(part["name"]) > 1:
            raise ParameterError(f"{part['name']!r} is named {names.count(part['name'])} times; name it once")
        if len(part) == 1:
            raise ParameterError(
                f"{part['name']!r} has no value, so nothing would change; give one, such as {part['name']}=..."
            )
        owner, _, name = part["name"].rpartition(":")
        owners = [each["distribution"] if each["name"] == name else None for each in described]
        places = [at for at, each in enumerate(owners) if each is not None and owner in ("", each)]
        if len(places) != 1:
            has = ", ".join(each["name"] for each in described) or "no processors"
            raise ParameterError(
                f"{part['name']!r} replaces the part of that name, and the chain has {len(places) or 'none'} ({has}); "
                "give the whole chain in its place, such as chain='temperature=1.2 top_p=0.9'"
            )
        params, name = described[places[0]]["params"], registry.spelled("processors", name, owners[places[0]] or "")
        (processors[places[0]],) = Chain.from_parts([{**params, **part, "name": name}]).processors
    if sampler is None:
        return Chain(processors, chain.sampler)
    return Chain(processors, Chain.from_parts([], sampler).sampler)


class _Sequence:
    """The question, put to each step of one sequence."""

    def __init__(
        self,
        trace: Trace,
        question: _Question,
        stream: int,
        steps: list[Step],
        seed: int,
        tokenizer: Tokenizer | None,
    ) -> None:
        self._trace, self._question, self._stream, self._steps = trace, question, stream, steps
        self._tokenizer = tokenizer
        self._same_seed = seed == trace.header.seed
        self._noise = Randomness(seed, stream)
        self._whole = question.built and all(step.row is not None for step in steps)
        start = 0 if self._whole else question.common
        self._asked = self._walk(question.links[start:] if question.built else question.links, start)
        recorded = trace.header.chain["processors"]
        self._same_law = question.common == len(recorded) == len(question.described["processors"])
        self._same_question = self._is_the_run()
        common = question.links[:start] if steps and not self._same_law else ()
        first = self._context(TokenIds())
        self._learner = next((link.name for link in common if learns(link, first, steps[0].token_id)), None)
        self._recorded: Walk | None = None
        if self._whole and not self._same_law:
            try:
                self._recorded = self._walk(chain_of(trace).links, 0)
            except ConfigError:  # then the distributions are compared where the final scores were recorded whole
                self._recorded = None

    def _is_the_run(self) -> bool:
        """Whether the question is the recorded run itself, so that it draws the recorded tokens."""
        asked, recorded = self._question, self._trace.header.chain
        same_chain = self._same_law and to_line(asked.described["sampler"]) == to_line(recorded["sampler"])
        if not same_chain or not asked.built or any(not link.traits.pure for link in asked.links):
            return False
        unseeded = self._sampler() == "greedy" and all(part["distribution"] == OURS for part in recorded["processors"])
        return self._same_seed or (unseeded and not any(map(_tosses, self._steps)))

    def _walk(self, links: Sequence[Any], start: int) -> Walk:
        return Walk(
            links,
            start,
            self._trace.header.chain["processors"],
            vocab_size=self._trace.header.adapter.get("vocab_size"),
            same_seed=self._same_seed,
            whole=self._whole,
            context=self._context(TokenIds()),
        )

    def _context(self, so_far: TokenIds) -> Context:
        return recorded_context(self._trace, self._stream, so_far, self._tokenizer)

    def steps(self) -> Iterable[CounterfactualStep]:
        """Each step, asked again."""
        so_far, attempts = TokenIds(), Attempts(self._trace.header)
        for step in self._steps:
            attempt = attempts.reached(self._stream)
            with suppress(Finding):  # a forged attempt; `verify` names it
                attempts.of(step)
            yield self._step(step, self._context(so_far), attempt)
            so_far = so_far.append(step.token_id)

    def _step(self, step: Step, context: Context, attempt: int) -> CounterfactualStep:
        old = self._old_law(step, context, attempt)
        told = CounterfactualStep(step.stream, step.index, step.token_id, None)
        try:
            if self._learner is not None and step is not self._steps[0]:
                raise Unknown(f"{self._learner} learns from what the chain made of the tokens before, which differs")
            drawn = self._asked.step(step, context, self._noise.at(step.index, draw=attempt))
            if step.abandoned:
                raise Unknown("tokens were taken back here, and whether they would have been is not known")
            if self._trace.header.on_undisclosed == "truncate" and step.raw.tail is not None:
                raise Unknown("the model's tail was given up where a question needed it, which depends on the chain")
        except Unknown as unknown:
            if self._same_question:
                return self._as_recorded(step, told)
            return replace(told, why=str(unknown), tv=0.0 if self._same_law and not _tosses(step) else None)
        logprob = drawn.choice.logprob if drawn.normalised else None
        return replace(
            told,
            other=drawn.choice.token_id,
            probability=None if logprob is None else min(1.0, math.exp(logprob)),
            chance=None if drawn.tossed else self._chance(step, old, drawn),
            tv=None if drawn.tossed else self._tv(old, drawn),
        )

    def _as_recorded(self, step: Step, told: CounterfactualStep) -> CounterfactualStep:
        """A step of the recorded run itself."""
        logprob, certain = step.choice.logprob, not _tosses(step)
        return replace(
            told,
            other=step.token_id,
            probability=None if logprob is None else min(1.0, math.exp(logprob)),
            chance=0.0 if certain and self._sampler() is not None else None,
            tv=0.0 if certain else None,
        )

    def _old_law(self, step: Step, context: Context, attempt: int) -> Distribution | None:
        """The distribution that the token was drawn from, where all of it is known."""
        if self._recorded is not None:
            noise = Randomness(self._trace.header.seed, self._stream).at(step.index, draw=attempt)
            try:
                drawn = self._recorded.step(step, context, noise)
            except Unknown:
                return None
            return None if drawn.tossed or drawn.law.hidden is not None else drawn.law
        found = None if _tosses(step) else final_law(step, self._trace.header.adapter.get("vocab_size"))
        return None if found is None or found.dist.hidden is not None else found.dist

    def _tv(self, old: Distribution | None, drawn: Drawn) -> float | None:
        if self._same_law:
            return 0.0
        return None if old is None or drawn.law.hidden is not None else old.tv(drawn.law)

    def _chance(self, step: Step, old: Distribution | None, drawn: Drawn) -> float | None:
        """How likely another token is, over all seeds."""
        was, now = core_sampler_of(self._trace), self._sampler()
        if now is None:
            return None
        if now == "greedy" and (not self._same_seed or was == "greedy"):
            return float(drawn.choice.token_id != step.token_id)
        if not self._same_seed:
            try:
                return max(0.0, 1.0 - math.exp(drawn.law.logprob(step.token_id))) if drawn.normalised else None
            except Undisclosed:
                return None
        if self._same_law and was == now:
            return 0.0
        if was is None or old is None or drawn.law.hidden is not None:
            return None
        return chance_of_change((was, old), (now, drawn.law))

    def _sampler(self) -> str | None:
        """The name of the sampler that is asked about, if it is one of the core."""
        call = self._question.links[-1].call
        return next((name for name, each in CORE_SAMPLERS.items() if each is call), None)


def _tosses(step: Step) -> bool:
    return any(entry.tosses for entry in step.entries)


def _warnings(trace: Trace) -> list[str]:
    warnings = []
    if trace.header.stop.get("ban"):
        warnings.append("the run took banned phrases back; whether another token would have stayed is not known")
    if not trace.header.adapter.get("deterministic"):
        warnings.append("the model may give another distribution at the next time; the recorded ones are held")
    return warnings
