"""The contract of an adapter as a function: every way to ask a question, and one answer to each.

The reference is always a *cold* instance, made for one question and closed after it. Whatever an adapter caches,
batches, evicts or rolls back, another instance of it must answer the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.testing import adapter_scenarios as scenarios
from decodekit.testing.adapter_kit import Kit

__all__ = ["AdapterReport", "check_adapter"]

_LENGTHS = (64, 256, 512)


@dataclass(frozen=True, slots=True)
class AdapterReport:
    """What a check came to.

    Args:
        questions: how many prefixes were asked for.
        comparisons: how many answers were held against another.
        largest_difference: the largest difference of two logprobs that should be equal, in nats.
        skipped: what could not be checked, and why.
    """

    questions: int
    comparisons: int
    largest_difference: float
    skipped: tuple[str, ...]


def check_adapter(
    make: Callable[[], Adapter | AsyncAdapter],
    *,
    prompts: Sequence[str | Sequence[int]] | None = None,
    exact: bool = True,
    tolerance: float = 0.0,
    long: bool = True,
    lengths: Sequence[int] = _LENGTHS,
    many: int = 40,
    rounds: int = 12,
    seed: int = 0,
) -> AdapterReport:
    """Check an adapter against the contract of `decodekit.model.adapter.Adapter`.

    It crosses one by one and batched, cold and cached, branches, rollbacks, evictions, chains of ancestors and bad
    rows. About thirty instances are made, at most three alive at a time.

    Args:
        make: builds a fresh adapter, with nothing cached; an `AsyncAdapter` is asked through the blocking facade.
        prompts: two or more texts or id sequences to start from; texts or random ids by default.
        exact: the answers must be equal to the bit, whatever the schedule.
        tolerance: without ``exact``, the largest difference of a logprob, in nats, over tokens with a probability
            above 1e-6. It has no default that would suit a model: measure, and state it.
        long: also ask past each of ``lengths``, where the context allows.
        lengths: numbers of tokens at which backends are known to change their ways.
        many: how many sequences to ask between a question and the same question again, to force an eviction.
        rounds: how many rounds of random traffic.
        seed: of everything random here; another seed is another check.

    Returns:
        What was done, and the largest difference seen.

    Raises:
        AssertionError: the adapter breaks the contract; the message says where and how.
        ValueError: the check was called in a way that checks nothing.
    """
    if not exact and not 0 < tolerance < math.inf:
        raise ValueError("without exact=True, state the tolerance in nats that you hold the adapter to")
    if exact and tolerance:
        raise ValueError("exact=True compares bits; a tolerance needs exact=False")
    kit = Kit(make, exact, tolerance, random.Random(seed))  # noqa: S311 - traffic for a test, no secret
    with kit.fresh() as adapter:
        scenarios.check_info(adapter.info)
        scenarios.check_its_tokenizer(adapter, kit.rng.randrange(2**32))
        kit.learn(adapter, prompts)
    with kit.fresh() as other:
        assert kit.info.model_fingerprint == other.info.model_fingerprint, (
            "two adapters from the same maker have different model fingerprints"
        )
        assert kit.info.tokenizer_fingerprint == other.info.tokenizer_fingerprint, (
            "two adapters from the same maker have different tokenizer fingerprints"
        )
    for check in (
        scenarios.check_determinism,
        scenarios.check_batches,
        scenarios.check_shared_suffixes,
        scenarios.check_branches_and_rollbacks,
        scenarios.check_chain_in_one_call,
        scenarios.check_last_call_again,
        scenarios.check_disclosure,
        scenarios.check_bad_rows,
    ):
        check(kit)
    scenarios.check_eviction(kit, many)
    if long:
        scenarios.check_long(kit, sorted(lengths))
    scenarios.check_traffic(kit, rounds)
    scenarios.check_close(kit)
    return AdapterReport(kit.questions, kit.comparisons, kit.largest, tuple(kit.skipped))
