"""Which token a step would have with one thing of another trace: its noise, its sampler, or its scores.

Only the samplers of the core run here, on recorded final scores. Where the record has too little, nothing is known.
"""

from __future__ import annotations

from dataclasses import replace

from decodekit.draw.randomness import ALGORITHM
from decodekit.errors import DecodekitError
from decodekit.trace.comparing import is_close
from decodekit.trace.redraw import check_word, noise_of, redraw
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding

__all__ = ["attempt_of", "is_sound", "with_noise", "with_sampler", "with_scores"]


def attempt_of(step: Step) -> int:
    """The attempt of a step's noise."""
    return 0 if step.draw is None else step.draw.attempt


def is_sound(trace: Trace, step: Step) -> bool | None:
    """Whether the recorded scores and noise give the recorded token; None where too little is recorded."""
    if trace.header.rng != ALGORITHM:
        return None
    noise = noise_of(trace, step, attempt_of(step))
    try:
        try:
            again = redraw(trace, step, noise)
        except Finding as finding:
            if finding.word != "failed":
                check_word(trace, step, noise)  # the draw cannot be repeated, but its random word can be checked
                return None
            raise
    except Finding as finding:
        return False if finding.word == "failed" else None
    except DecodekitError:
        return None
    return again.token_id == step.token_id or (is_close(again) and again.runner_up == step.token_id)


def with_noise(a: Trace, step: Step, b: Trace, other: Step) -> int | None:
    """The token of the first step's scores with the noise of the second."""
    if b.header.rng != ALGORITHM:  # the words of another algorithm are not known
        return None
    try:
        return redraw(a, step, noise_of(b, other, attempt_of(other))).token_id
    except (Finding, DecodekitError):
        return None


def with_sampler(a: Trace, step: Step, b: Trace, other: Step) -> int | None:
    """The token of the first step with the sampler of the other trace."""
    chain = {**a.header.chain, "sampler": b.header.chain["sampler"]}
    changed = Trace(replace(a.header, chain=chain), [], None)
    return with_noise(changed, step, a, step)


def with_scores(a: Trace, step: Step, b: Trace, other: Step) -> int | None:
    """The token of the second step's scores with the sampler and the noise of the first."""
    adapter = {**a.header.adapter, "vocab_size": b.header.adapter.get("vocab_size")}
    return with_noise(Trace(replace(a.header, adapter=adapter), [], None), other, a, step)
