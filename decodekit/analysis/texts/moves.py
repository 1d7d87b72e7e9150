"""How far a chain moved the distribution of one token: from the distributions themselves, or from a recorded step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.texts.recorded_chain import laws_again, rebuilt
from decodekit.chain import Chain, Entry
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Undisclosed
from decodekit.distribution.divergence import expected_gap
from decodekit.errors import ParameterError
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.facts import sampler_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.what_if.recorded_laws import final_law

__all__ = ["Move", "move_between", "recorded_move", "recorded_moves"]

_SAME = 1e-9  # nats


@dataclass(frozen=True, slots=True)
class Move:
    """One token under a chain q and a model p, which continue the same text. None where a value is not known.

    Args:
        kl: KL(q || p) of the token's distribution, in nats.
        log_ratio: log q - log p of the token that was chosen, in nats; its mean is ``kl``.
        mass_removed: the probability, under p, of the tokens that q removed.
        model_entropy, chain_entropy: of p and of q, in nats.
    """

    kl: float | None
    log_ratio: float | None
    mass_removed: float | None
    model_entropy: float | None
    chain_entropy: float | None


def move_between(model: Distribution, chain: Distribution, token_id: int) -> Move:
    """The move from a model's distribution to a chain's, with the token that was chosen. Exact.

    The chain's may be a truncation of a head: then the head's log-probabilities are enough for the divergence.
    """
    kl = removed = ratio = None
    try:
        if chain.hidden is None:
            support = chain.support()
            shown = model.logprobs_of(support)
            kl = 0.0 if chain is model else max(0.0, expected_gap(chain.logprobs_of(support), shown))
            whole = model.hidden is None and model.support_size == len(support)
            removed = 0.0 if whole else max(0.0, 1.0 - math.fsum(np.exp(shown).tolist()))
        ratio = chain.logprob(token_id) - model.logprob(token_id)
    except Undisclosed:
        pass
    return Move(
        kl,
        ratio,
        removed,
        model.entropy if model.knows_entropy else None,
        chain.entropy if chain.knows_entropy else None,
    )


def recorded_moves(trace: Trace, *, chain: Chain | None = None, tokenizer: Tokenizer | None = None) -> list[list[Move]]:
    """The moves of each text of a recorded run, in the order of the header.

    Args:
        trace: the run.
        chain: the recorded chain, newly built, if parts of it are not registered by name.
        tokenizer: that of the run, for parts of the chain that use it.

    Raises:
        ConfigError: the given chain is another one.
        ParameterError: steps were not kept, or the tokens were not drawn from one known law each: by the provider, by
            another sampler than multinomial, inverse_cdf and greedy, with random numbers in a processor, or with
            branches that were taken back.
    """
    if trace.by_provider:
        raise ParameterError("the provider drew these tokens, so the trace does not have the law they were drawn from")
    if trace.header.level == "none":
        raise ParameterError("this trace was recorded at level 'none', so it has no steps; record level='choice'")
    sampler = sampler_of(trace.header)
    if sampler not in ("multinomial", "inverse_cdf", "greedy"):
        raise ParameterError(f"the sampler {sampler!r} may draw from another law than the one that was recorded")
    again = rebuilt(trace, chain)
    texts: dict[int, list[Step]] = {stream: [] for stream, _ in trace.header.sequences}
    for step in trace.steps:
        if step.abandoned:
            raise ParameterError(f"branches were taken back at step {step.index}: the text is no draw from the chain")
        if any(each.tosses for each in step.entries):
            raise ParameterError(f"a processor drew random numbers at step {step.index}, so its law is not known")
        texts[step.stream].append(step)
    if sampler == "greedy":
        return [list(map(_greedy_move, steps)) for steps in texts.values()]
    size = trace.header.adapter.get("vocab_size")
    return [
        [recorded_move(step, size, law) for step, law in zip(steps, _laws(trace, steps, again, tokenizer), strict=True)]
        for steps in texts.values()
    ]


def _laws(
    trace: Trace, steps: Sequence[Step], chain: Chain | None, tokenizer: Tokenizer | None
) -> Sequence[Distribution | None]:
    """From the chain, where some step needs it; see `recorded_move`."""
    if all(_composed(step.entries)[0] is not None for step in steps):
        return [None] * len(steps)
    return laws_again(trace, steps, chain, tokenizer)


def _greedy_move(step: Step) -> Move:
    """The move to the one token that was chosen: the law of a greedy sampler has no other."""
    logprob = step.choice.raw_logprob
    if logprob is None:
        return Move(None, None, None, step.raw.entropy, 0.0)
    return Move(-logprob, -logprob, -math.expm1(logprob), step.raw.entropy, 0.0)


def recorded_move(step: Step, vocab_size: int | None, again: Distribution | None = None) -> Move:
    """The move of a recorded step.

    The entries have the divergence of each processor's result from what it was given. That of the chain from the model
    follows where one processor alone changed something, and where all of them only removed tokens. Of other chains it
    is computed from the row that level 'full' records; without it ``kl`` is None, and ``log_ratio`` is left.

    Args:
        step: the record.
        vocab_size: the number of tokens; None where it is not known.
        again: the law that the chain gives on the recorded row; without it, that of the recorded final scores, where
            those of all remaining tokens were recorded.
    """
    ratio = None
    if step.choice.logprob is not None and step.choice.raw_logprob is not None:
        ratio = step.choice.logprob - step.choice.raw_logprob
    last = step.entries[-1] if step.entries else None
    kl, removed = _composed(step.entries)
    model = step.answer(vocab_size) if kl is None else None
    law = final_law(step, vocab_size) if model is not None and again is None else None
    if law is not None and law.normalised:
        again = law.dist
    if model is not None and again is not None:
        found = move_between(model, again, step.token_id)
        kl, removed = found.kl, found.mass_removed
    return Move(kl, ratio, removed, step.raw.entropy, step.raw.entropy if last is None else last.entropy)


def _composed(entries: Sequence[Entry]) -> tuple[float | None, float | None]:
    """KL(after all || before all) and the mass removed, where they follow from those of the parts."""
    if any(each.kl is None or each.mass_removed is None for each in entries):
        return None, None
    parts = [(each.kl or 0.0, each.mass_removed or 0.0) for each in entries if each.kl or each.mass_removed]
    if len(parts) == 1:
        return parts[0]
    if all(removed < 1 and abs(kl + math.log1p(-removed)) <= _SAME * (1 + kl) for kl, removed in parts):
        kl = math.fsum(kl for kl, _ in parts)
        return kl, -math.expm1(-kl)
    return None, None
