"""What trainers read of a sampled sequence: its tokens, with the probability that each was really drawn with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from decodekit.errors import ParameterError
from decodekit.plugin.installed import OURS
from decodekit.trace.columns import run_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["Rollout", "require_drawing", "rollouts_of", "sampled_from_its_chain"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sequence. Lists have a value for each generated token, or are empty where the trace has none.

    Args:
        run: the name of its run: equal runs have equal ones. In a data set that of the settings alone, without prompts.
        prompt, sample: which prompt, and which of its samples: the group and the place in it.
        stream, seed: whose noise it was drawn with.
        prompt_ids, token_ids: the ids; an end token is one of them.
        text: the generated text; '' where it is not known.
        logprobs: the behaviour's: of each token after the whole chain, as sampled, in nats.
        model_logprobs: the model's own, at the same weights, in nats; None where it is not known.
        loss_mask: 1 where something was chosen, 0 where one token alone was possible (a forced one, a grammar's).
        support_ids: the tokens that could be drawn, where they are closed, such as after top-k; otherwise None.
        mass: what truncations and masks left of the probability, each at its own stage; None where it is not known.
        entropies: of the model, in nats; None where it is not known.
        modes: the model's most likely token; None where it is not known.
        stop_reason: why it ended: stop, length, context, deadline, cancelled or error.
        is_sample: whether the text was drawn from its chain: no branch was taken back.
        weights: (first token, fingerprint of the weights) of each span.
    """

    run: str
    prompt: int
    sample: int
    stream: int
    seed: int
    prompt_ids: list[int]
    token_ids: list[int]
    text: str
    logprobs: list[float]
    model_logprobs: list[float | None]
    loss_mask: list[int]
    support_ids: list[list[int] | None]
    mass: list[float | None]
    entropies: list[float | None]
    modes: list[int | None]
    stop_reason: str
    is_sample: bool
    weights: list[tuple[int, str]]


def sampled_from_its_chain(trace: Trace) -> None:
    """Require that the recorded log-probabilities are those that the tokens were drawn with.

    Raises:
        ParameterError: they are not: another sampler than multinomial and inverse_cdf, a processor that draws random
            numbers, or nothing was recorded.
    """
    require_drawing(trace.header.chain)
    if trace.header.level in ("none", "choice"):
        raise ParameterError(f"level {trace.header.level!r} keeps no support; make rollouts at level 'proof' or 'full'")
    tossing = next((entry.name for step in trace.steps for entry in step.entries if entry.tosses), None)
    if tossing is not None:
        raise ParameterError(
            f"the processor {tossing!r} draws random numbers, so a recorded log-probability is that of a token given "
            "its coin, and not that of the behaviour; leave it out"
        )


def require_drawing(described: Mapping[str, Any]) -> None:
    """Require that a chain, as `Chain.describe` gives it, draws from what its processors leave.

    Raises:
        ParameterError: its sampler does not.
    """
    sampler = described.get("sampler", {})
    name = sampler.get("name")
    if sampler.get("distribution") != OURS or name not in ("multinomial", "inverse_cdf"):
        raise ParameterError(
            f"the sampler {name!r} does not draw from what the chain leaves, as far as decodekit knows, so a recorded "
            "log-probability is not that of the behaviour; sample with multinomial or inverse_cdf"
        )


def rollouts_of(trace: Trace, text_of: Callable[[int], str] = lambda _: "") -> Iterator[Rollout]:
    """The sequences of a trace, in the order of its header. A sequence without a token is one too.

    Args:
        trace: a complete run at level 'proof' or 'full'.
        text_of: the text of a stream; '' where it is not given.

    Raises:
        ParameterError: as `sampled_from_its_chain`; the run has no end; or a log-probability is not known.
    """
    sampled_from_its_chain(trace)
    if trace.footer is None:
        raise ParameterError("the run has no end, so its last sequences may be cut anywhere; resume it")
    run, ends = run_of(trace.header), {end.stream: end for end in trace.footer.ends}
    steps: dict[int, list[tuple[int, Step]]] = {stream: [] for stream, _ in trace.header.sequences}
    for number, step in enumerate(trace.steps):
        steps[step.stream].append((number, step))
    samples: dict[int, int] = {}
    for stream, prompt in trace.header.sequences:
        sample = samples[prompt] = samples.get(prompt, -1) + 1
        own = [step for _, step in steps[stream]]
        yield Rollout(
            run=run,
            prompt=prompt,
            sample=sample,
            stream=stream,
            seed=trace.header.seed,
            prompt_ids=list(trace.header.prompts[prompt]),
            token_ids=[step.token_id for step in own],
            text=text_of(stream),
            logprobs=[_behaviour(step) for step in own],
            model_logprobs=[step.choice.raw_logprob for step in own],
            loss_mask=[int(_possible(step) != 1) for step in own],
            support_ids=[_support(step) for step in own],
            mass=[_mass(step) for step in own],
            entropies=[step.raw.entropy for step in own],
            modes=[step.raw.top[0][0] if step.raw.top else None for step in own],
            stop_reason=ends[stream].finish_reason,
            is_sample=not any(step.abandoned for step in own),
            weights=_spans(trace, [number for number, _ in steps[stream]]),
        )


def _behaviour(step: Step) -> float:
    if step.choice.logprob is None:
        raise ParameterError(
            f"the probability that step {step.index} of stream {step.stream} was drawn with is not known: a tail was "
            "undisclosed"
        )
    return step.choice.logprob


def _possible(step: Step) -> int | None:
    """How many tokens could be drawn."""
    support = _support(step)
    return len(support) if support is not None else step.entries[-1].support if step.entries else step.raw.support


def _support(step: Step) -> list[int] | None:
    """The tokens that could be drawn, where all are recorded; not where the chain removed none."""
    if step.evidence is None or step.evidence.floor is not None or not step.entries:
        return None
    kept = step.evidence.token_ids[step.evidence.scores > -math.inf]
    return None if len(kept) == step.raw.support else [int(token_id) for token_id in kept]


def _mass(step: Step) -> float | None:
    left = 1.0
    for entry in step.entries:
        if entry.mass_removed is None:
            return None
        left *= 1.0 - entry.mass_removed
    return left


def _spans(trace: Trace, numbers: list[int]) -> list[tuple[int, str]]:
    """Which weights computed which tokens; they may be others after a run was resumed."""
    spans = [(0, _fingerprint(trace.header.adapter))]
    for resumption in trace.resumed:
        first, version = sum(number < resumption.steps for number in numbers), _fingerprint(resumption.adapter)
        if first < len(numbers) and version != spans[-1][1]:
            spans = [span for span in spans if span[0] < first] + [(first, version)]
    return spans


def _fingerprint(adapter: dict[str, Any]) -> str:
    return str(adapter.get("model_fingerprint", ""))
