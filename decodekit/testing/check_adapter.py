"""The contract of an adapter as a function: however a question is asked, the answer must be the same.

The reference is always a *cold* instance: a new one that is asked one question and then closed. Whatever an adapter
caches, batches, evicts or rolls back, its answers must be those of a cold instance.
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
    """The result of a check.

    Args:
        questions: how many prefixes were asked for.
        comparisons: how many answers were compared with another.
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

    It asks for single prefixes and batches, with and without cache, and tests branches, rollbacks, evictions, prefixes
    with all their ancestors, and bad rows. About thirty instances are made, at most three at the same time.

    Args:
        make: builds a new adapter with an empty cache; an `AsyncAdapter` is called through `BlockingAdapter`.
        prompts: two or more texts or id sequences to start from; texts or random ids by default.
        exact: the answers must be equal to the bit, whatever the schedule.
        tolerance: without ``exact``, the largest difference of a logprob, in nats, over tokens with a probability
            above 1e-6. There is no default, because it depends on the model: measure it.
        long: also ask for prefixes longer than each of ``lengths``, if the context length allows.
        lengths: numbers of tokens at which backends are known to change their kernels.
        many: how many sequences to ask for between a question and its repetition, to force an eviction.
        rounds: how many random batches to ask for at the end.
        seed: the seed of everything random here; another seed makes another check.

    Returns:
        What was done, and the largest difference seen.

    Raises:
        AssertionError: the adapter breaks the contract; the message says where and how.
        ValueError: the arguments do not allow a check.
    """
    if not exact and not 0 < tolerance < math.inf:
        raise ValueError("without exact=True, give the tolerance in nats")
    if exact and tolerance:
        raise ValueError("exact=True compares bits; a tolerance needs exact=False")
    kit = Kit(make, exact, tolerance, random.Random(seed))  # noqa: S311 - random tests, not a secret
    with kit.fresh() as adapter:
        scenarios.check_info(adapter.info)
        scenarios.check_its_tokenizer(adapter, kit.rng.randrange(2**32))
        kit.learn(adapter, prompts)
    with kit.fresh() as other:
        assert kit.info.model_fingerprint == other.info.model_fingerprint, (
            "two adapters from the same make() have different model fingerprints"
        )
        assert kit.info.tokenizer_fingerprint == other.info.tokenizer_fingerprint, (
            "two adapters from the same make() have different tokenizer fingerprints"
        )
    for check in (
        scenarios.check_scores,
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
