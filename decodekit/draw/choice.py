"""One chosen token, and the random word that decided."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Choice",
    "Draw",
]


@dataclass(frozen=True, slots=True)
class Draw:
    """Where the deciding random word came from, and the word itself.

    Args:
        domain: the domain of RNG.md.
        stream: the sequence's stream.
        step: the number of tokens generated before.
        attempt: 0, or more after a rewind.
        lane: the token id for `multinomial`, 0 for `inverse_cdf`.
        word: the 64-bit word.
    """

    domain: int
    stream: int
    step: int
    attempt: int
    lane: int
    word: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen token, and the margin of the choice.

    Args:
        token_id: the token.
        logprob: its log-probability after the chain, in nats; None where a tail makes it unknown.
        raw_logprob: its log-probability as the model gave it, in nats; None where that is not known. The chain fills
            it in, and `rank`: a sampler leaves both out.
        rank: how many tokens were more likely under the model: 0 for its mode; None where that is not known.
        score: the number that decided: the perturbed score (`multinomial`), the score (`greedy`), the uniform
            (`inverse_cdf`). 0.0 where a sampler has no such number.
        margin: the distance to another outcome: the gap to the runner-up in score (`multinomial`, `greedy`), the
            distance of the uniform to the nearer edge of the token's cell, in mass (`inverse_cdf`). inf when nothing
            else was possible. While every logprob moves by less than half of it, the token stays; 0.0 guarantees
            nothing.
        runner_up: the token that would have been chosen next; None when there is none.
        draw: the random word that decided; None when nothing was random.
    """

    token_id: int
    logprob: float | None
    raw_logprob: float | None = None
    rank: int | None = None
    score: float = 0.0
    margin: float = 0.0
    runner_up: int | None = None
    draw: Draw | None = None
