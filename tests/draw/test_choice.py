"""What a sampler has to say of its choice, and what it may leave out."""

from __future__ import annotations

import math

import decodekit
from decodekit import Choice, Context, Distribution, Randomness

FOUR = [math.log(1 / 8), math.log(1 / 2), math.log(1 / 4), math.log(1 / 8)]


def test_fields_have_their_places_and_what_is_left_out_promises_nothing() -> None:
    placed = Choice(3, -1.5, -2.5, 4, 0.25, 0.75, 9, None)
    named = Choice(token_id=3, logprob=-1.5, raw_logprob=-2.5, rank=4, score=0.25, margin=0.75, runner_up=9, draw=None)
    assert placed == named
    short = Choice(3, -1.5)
    assert (short.raw_logprob, short.rank, short.runner_up, short.draw) == (None, None, None, None)
    assert (short.score, short.margin) == (0.0, 0.0)


def test_the_chain_fills_in_what_the_model_thought_of_a_choice() -> None:
    def least_likely(dist: Distribution, ctx: Context, randomness: object) -> Choice:
        return Choice(token_id=0, logprob=dist.logprob(0))

    chain = decodekit.Chain([decodekit.processor("top_k", top_k=4)], least_likely)
    context = Context((1,), ())
    choice = chain.step(Distribution.dense(FOUR), context, chain.initial(context), Randomness(1).at(0))[1]
    assert choice.raw_logprob is not None and abs(choice.raw_logprob - math.log(1 / 8)) < 1e-12
    assert choice.rank == 2
