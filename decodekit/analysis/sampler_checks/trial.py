"""A sampler put to the test: tokens are drawn with a session until the evidence is enough, or the tokens are spent."""

from __future__ import annotations

from contextlib import suppress

from decodekit.analysis.sampler_checks.beginnings import Beginnings
from decodekit.analysis.sampler_checks.recorded_draws import recorded_draws
from decodekit.analysis.sampler_checks.wagers import Honesty, Wager
from decodekit.draw.randomness import Randomness, derive
from decodekit.draw.whole import whole
from decodekit.session import Prompt, Session

__all__ = ["try_sampler"]

_AT_ONCE, _LONGEST = 4, 64  # of each round, whose rows are kept in memory
_WITHOUT_NEWS = 8  # rounds


def try_sampler(session: Session, prompt: Prompt, *, tokens: int = 2000) -> Honesty:
    """Draw tokens after a prompt, and bet on each against the law that its step states.

    Where the provider draws, its own draws are tested, by the lists that it returns with them, and a text that repeats
    another says nothing: see `recorded_draws`.

    Args:
        session: an adapter and a chain.
        prompt: what to continue.
        tokens: when to stop without a verdict; earlier where eight rounds of texts have said nothing new.

    Raises:
        ParameterError: as `decodekit.analysis.sampler_checks.recorded_draws.recorded_draws`.
        DecodekitError: generating failed. What the tokens before said is in its ``partial``, as with an interrupt.
    """
    tokens = whole(tokens, "tokens", 1, 10**7)
    tokenizer = session.adapter.tokenizer
    ends = frozenset() if tokenizer is None else frozenset(tokenizer.eos_ids)
    wager, seed, drawn, run = Wager(), Randomness(session.seed).seed, 0, 0
    beginnings, silent = Beginnings(), 0
    try:
        while drawn < tokens and not wager.decided and silent < _WITHOUT_NEWS:
            limit = min(_LONGEST, tokens - drawn)
            n = min(_AT_ONCE, (tokens - drawn) // limit)
            results = session.generate_many([prompt], n=n, max_tokens=limit, seed=derive(seed, run), level="full")[0]
            for result in results:
                if result.error is not None:
                    raise result.error
            trace, run = results[0].trace, run + 1
            before = len(wager)
            for law, token_id in recorded_draws([trace], ends=ends, beginnings=beginnings):
                wager.take(law, token_id)
            wager.skipped += len(trace.steps) - (len(wager) - before)
            drawn += max(1, len(trace.steps))
            silent = silent + 1 if len(wager) == before else 0  # all texts were there before
    except BaseException as error:
        with suppress(Exception):  # an error of the caller's own, which may take no attribute
            error.partial = wager.result()  # type: ignore[attr-defined]
        raise
    return wager.result()
