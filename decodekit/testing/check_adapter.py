"""The contract of an adapter as a function: every way to ask a question, and one answer to each.

The reference is always a *cold* instance, made for one question and closed after it. Whatever an adapter caches,
batches, evicts or rolls back, another instance of it must answer the same.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from decodekit.asking import blocking
from decodekit.disclosure import ALL, CHEAP, Disclosure
from decodekit.distribution import Distribution
from decodekit.errors import AdapterError, ContextOverflow, DecodekitError, Undisclosed
from decodekit.prefix import Prefix
from decodekit.protocols import Adapter, AdapterInfo, Answer, AsyncAdapter
from decodekit.testing.check_tokenizer import check_tokenizer, ordinary_ids
from decodekit.testing.comparing import bits_of, check_agree, difference_of, equal_bits

__all__ = ["AdapterReport", "check_adapter"]

_LENGTHS = (64, 256, 512)
_TEXTS = (
    "The capital of France is",
    "Once upon a time there was a small house at the edge of",
    "def add(left, right):\n    return",
    "1, 1, 2, 3, 5, 8,",
)


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
    """Check an adapter against the contract of `decodekit.protocols.Adapter`.

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
    kit = _Kit(make, exact, tolerance, random.Random(seed))  # noqa: S311 - traffic for a test, no secret
    with kit.fresh() as adapter:
        _check_info(adapter.info)
        _check_tokenizer(adapter, kit.rng.randrange(2**32))
        kit.learn(adapter, prompts)
    with kit.fresh() as other:
        assert kit.info.model_fingerprint == other.info.model_fingerprint, (
            "two adapters from the same maker have different model fingerprints"
        )
        assert kit.info.tokenizer_fingerprint == other.info.tokenizer_fingerprint, (
            "two adapters from the same maker have different tokenizer fingerprints"
        )
    for check in (
        _check_determinism,
        _check_batches,
        _check_shared_suffixes,
        _check_branches_and_rollbacks,
        _check_chain_in_one_call,
        _check_last_call_again,
        _check_disclosure,
        _check_bad_rows,
    ):
        check(kit)
    _check_eviction(kit, many)
    if long:
        _check_long(kit, sorted(lengths))
    _check_traffic(kit, rounds)
    _check_close(kit)
    return AdapterReport(kit.questions, kit.comparisons, kit.largest, tuple(kit.skipped))


@dataclass
class _Kit:
    """The adapter's maker, the cold answers so far, and the counts."""

    make: Callable[[], Adapter | AsyncAdapter]
    exact: bool
    tolerance: float
    rng: random.Random
    questions: int = 0
    comparisons: int = 0
    largest: float = 0.0
    skipped: list[str] = field(default_factory=list)
    colds: dict[Prefix, Distribution] = field(default_factory=dict)
    prompts: list[Prefix] = field(default_factory=list)
    ordinary: Sequence[int] = ()
    bos: int | None = None

    def learn(self, adapter: Adapter, prompts: Sequence[str | Sequence[int]] | None) -> None:
        """Keep what the checks need to know of the adapter, and make the prompts."""
        self.info = adapter.info
        self.want = ALL if adapter.info.most.kind != "named" else adapter.info.most
        tokenizer = adapter.tokenizer
        self.bos = None if tokenizer is None else tokenizer.bos_id
        self.begin = [] if self.bos is None else [self.bos]
        size = self.info.vocab_size or (None if tokenizer is None else tokenizer.vocab_size)
        given = list(prompts or (_TEXTS if tokenizer is not None else ()))
        listed: list[Sequence[int]] = []
        for prompt in given:
            if not isinstance(prompt, str):
                listed.append(list(prompt))
                continue
            assert tokenizer is not None, "prompts that are texts need an adapter with a tokenizer; give token ids"
            try:
                listed.append([*self.begin, *tokenizer.encode(prompt)])
            except DecodekitError:
                assert prompts is None, f"the adapter's tokenizer cannot encode the prompt {prompt!r}"
        if size is not None:
            self.ordinary = ordinary_ids(tokenizer, size, self.rng)
        else:
            self.ordinary = sorted({i for ids in listed for i in ids})
        if prompts is None and len(listed) < 2:
            if not self.ordinary:
                raise ValueError("the vocabulary is unknown and there is no tokenizer: give prompts")
            listed = [[*self.begin, *self.random_ids(length)] for length in (5, 9, 3, 12)]
        self.prompts = list(dict.fromkeys(Prefix(ids) for ids in listed if len(ids)))
        if len(self.prompts) < 2:
            raise ValueError("give at least two different prompts")

    @contextmanager
    def fresh(self) -> Iterator[Adapter]:
        """A new instance, closed at the end."""
        adapter = blocking(self.make())
        try:
            yield adapter
        finally:
            adapter.close()

    def random_ids(self, count: int) -> list[int]:
        return [self.rng.choice(self.ordinary) for _ in range(count)]

    def ask(
        self, adapter: Adapter, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] | None = None
    ) -> list[Answer]:
        """The adapter's answers to prefixes that are all well."""
        answers = self.ask_any(adapter, prefixes, disclose)
        for prefix, answer in zip(prefixes, answers, strict=True):
            assert isinstance(answer, Distribution), f"{prefix} was answered with an error: {answer!r}"
            _check_answer(answer, self.info)
        return answers

    def ask_any(
        self, adapter: Adapter, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] | None = None
    ) -> list[Answer]:
        """The adapter's answers, errors among them, one for each prefix."""
        self.questions += len(prefixes)
        answers = adapter.predict(prefixes, self.want if disclose is None else disclose)
        assert isinstance(answers, list), f"predict returns a list, not {type(answers).__name__}"
        assert len(answers) == len(prefixes), f"predict gave {len(answers)} answers to {len(prefixes)} prefixes"
        for answer in answers:
            assert isinstance(answer, Distribution | DecodekitError), (
                f"an answer is a Distribution or a DecodekitError, not {type(answer).__name__}"
            )
        return answers

    def one(self, adapter: Adapter, prefix: Prefix, disclose: Disclosure | None = None) -> Distribution:
        (answer,) = self.ask(adapter, [prefix], disclose)
        assert isinstance(answer, Distribution)
        return answer

    def cold(self, prefix: Prefix) -> Distribution:
        """The answer of an instance that was asked nothing else."""
        if prefix not in self.colds:
            with self.fresh() as adapter:
                self.colds[prefix] = self.one(adapter, prefix)
        return self.colds[prefix]

    def same(self, got: Answer, expected: Answer, how: str, *, exact: bool | None = None) -> None:
        """Both are one distribution: to the bit, or within the tolerance."""
        assert isinstance(got, Distribution) and isinstance(expected, Distribution), f"{how}: {got!r}, {expected!r}"
        exact = self.exact if exact is None else exact
        self.comparisons += 1
        difference = difference_of(got, expected)
        self.largest = max(self.largest, difference)
        if exact:
            assert equal_bits(got, expected), (
                f"{how}: the bits differ, by up to {difference:.3g} nats in tokens that matter. "
                f"Got {got!r}, expected {expected!r}"
            )
        else:
            assert difference <= self.tolerance, (
                f"{how}: logprobs differ by {difference:.3g} nats, more than the tolerance of {self.tolerance:.3g}. "
                f"Got {got!r}, expected {expected!r}"
            )

    def check(self, adapter: Adapter, prefixes: Sequence[Prefix], how: str) -> None:
        """Ask in one call, and hold every answer against the cold one."""
        for prefix, answer in zip(prefixes, self.ask(adapter, prefixes), strict=True):
            self.same(answer, self.cold(prefix), f"{how}, {prefix}")

    def fits(self, length: int) -> bool:
        return self.info.context_length is None or length <= self.info.context_length


# -- the checks ---------------------------------------------------------------------------------------------------


def _check_info(info: AdapterInfo) -> None:
    assert isinstance(info, AdapterInfo), f"info is an AdapterInfo, not {type(info).__name__}"
    assert info.name and isinstance(info.name, str), "info.name is the adapter's registered name"
    assert info.concurrency >= 1, f"info.concurrency is at least 1, not {info.concurrency}"
    for name in ("vocab_size", "context_length"):
        value = getattr(info, name)
        assert value is None or value > 0, f"info.{name} is a positive number or None, not {value}"
    assert info.most.kind != "cheap", "info.most says how much can be disclosed at most; CHEAP says nothing"
    try:
        json.dumps(asdict(replace(info, versions=dict(info.versions))), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"info goes into every trace, and cannot be written as JSON: {error}") from error


def _check_tokenizer(adapter: Adapter, seed: int) -> None:
    tokenizer, info = adapter.tokenizer, adapter.info
    if tokenizer is None:
        return
    check_tokenizer(tokenizer, vocab_size=info.vocab_size, seed=seed)
    assert info.tokenizer_fingerprint in ("", tokenizer.fingerprint), (
        "info.tokenizer_fingerprint is not the tokenizer's fingerprint"
    )


def _check_answer(dist: Distribution, info: AdapterInfo) -> None:
    """One answer on its own: no NaN, the right vocabulary, and honest labels."""
    assert info.vocab_size in (None, dist.vocab_size), (
        f"info.vocab_size is {info.vocab_size}, and a distribution has {dist.vocab_size}"
    )
    assert dist.stage == info.stage, f"info.stage is {info.stage!r}, and a distribution says {dist.stage!r}"
    if dist.token_ids is None:
        assert dist.origin == info.origin, f"info.origin is {info.origin!r}, and a distribution says {dist.origin!r}"
    row = dist._row
    assert not np.isnan(row).any(), "a distribution holds NaN"
    assert float(row.max()) < math.inf and float(row.max()) > -math.inf, "a distribution has no finite largest score"
    assert not row.flags.writeable, "a distribution's numbers can be written to; build it with dense() or head()"
    if info.most.kind == "all" or dist.tail is not None:
        return
    assert dist.token_ids is None or len(dist.scores) == dist.vocab_size, (
        "a list of some tokens without a tail claims that no other token has probability"
    )


def _check_determinism(kit: _Kit) -> None:
    if not kit.info.deterministic:
        kit.skipped.append("determinism: info.deterministic is False")
        return
    for prefix in kit.prompts[:2]:
        with kit.fresh() as adapter:
            kit.same(
                kit.one(adapter, prefix),
                kit.cold(prefix),
                f"info.deterministic, and two fresh adapters disagree on {prefix}",
                exact=True,
            )


def _check_batches(kit: _Kit) -> None:
    """One by one, all in one call, twice in one call, in another order."""
    prompts = kit.prompts
    with kit.fresh() as adapter:
        assert adapter.predict([]) == [], "no prefixes have no answers: predict([]) is []"
        for prefix in prompts:
            kit.check(adapter, [prefix], "one by one")
        kit.check(adapter, prompts, "batched after one by one")
    with kit.fresh() as adapter:
        kit.check(adapter, prompts, "batched, nothing cached")
        kit.check(adapter, prompts[::-1], "batched, in another order")
    with kit.fresh() as adapter:
        twice = [*prompts, *prompts[:2], prompts[0]]
        kit.rng.shuffle(twice)
        kit.check(adapter, twice, "batched, with duplicates")


def _check_shared_suffixes(kit: _Kit) -> None:
    """The same ids after different pasts: an adapter that groups by what is left after its cache gets this wrong."""
    first, second = kit.prompts[:2]
    suffix = kit.random_ids(3)
    ends = [first.extend(suffix), second.extend(suffix)]
    if not all(kit.fits(len(end)) for end in ends):
        kit.skipped.append("shared suffixes: the context is too short")
        return
    with kit.fresh() as adapter:
        for prefix in (first, second):
            kit.check(adapter, [prefix], "before a shared suffix")
        kit.check(adapter, ends, "a suffix shared by two cached prefixes, batched")
        kit.check(adapter, [ends[1]], "a suffix shared by two cached prefixes, alone")
    with kit.fresh() as adapter:
        kit.check(adapter, [first], "before a shared suffix")
        kit.check(adapter, [*ends, Prefix(suffix)], "a suffix shared by a cached, a cold and an empty past")


def _check_branches_and_rollbacks(kit: _Kit) -> None:
    trunk = kit.prompts[0].extend(kit.random_ids(2))
    left, right = (trunk.extend(kit.random_ids(3)) for _ in range(2))
    shorter = Prefix(trunk.token_ids[: max(1, len(trunk) // 2)])
    aside = shorter.extend(kit.random_ids(2))
    if not kit.fits(len(left)):
        kit.skipped.append("branches: the context is too short")
        return
    with kit.fresh() as adapter:
        kit.check(adapter, [left], "a branch")
        kit.check(adapter, [right], "its sibling")
        kit.check(adapter, [trunk], "rolled back to the trunk")
        kit.check(adapter, [shorter], "rolled back to half of it")
        kit.check(adapter, [aside], "a new branch from there")
        kit.check(adapter, [left], "the first branch again")
        kit.check(adapter, [Prefix(right.token_ids)], "the sibling again, built anew from its ids")
    with kit.fresh() as adapter:
        kit.check(adapter, [left, right], "two branches in one call")
        kit.check(adapter, [right.extend(kit.random_ids(1)), aside], "both go on")


def _check_chain_in_one_call(kit: _Kit) -> None:
    """All ancestors of a prefix: what scoring a text or verifying a guess asks."""
    length = 14 if kit.fits(14) else 4
    whole = Prefix(([*kit.prompts[0].token_ids, *kit.random_ids(length)])[:length])
    chain = [Prefix(whole.token_ids[:end]) for end in range(1, length + 1)]
    mixed = [*chain, whole, chain[length // 2]]
    kit.rng.shuffle(mixed)
    with kit.fresh() as adapter:
        grown = {prefix: kit.one(adapter, prefix) for prefix in chain}
    for prefix in (chain[0], chain[length // 2], whole):
        kit.same(grown[prefix], kit.cold(prefix), f"grown token by token, {prefix}")
    with kit.fresh() as adapter:
        for prefix, answer in zip(mixed, kit.ask(adapter, mixed), strict=True):
            kit.same(answer, grown[prefix], f"ancestors in one call, in any order and with duplicates, {prefix}")
        for prefix, answer in zip(chain, kit.ask(adapter, chain), strict=True):
            kit.same(answer, grown[prefix], f"the same ancestors again, in order, {prefix}")
        other = kit.prompts[1]
        answers = kit.ask(adapter, [chain[2], other, whole, chain[1]])
        for prefix, answer in zip([chain[2], whole, chain[1]], [answers[0], answers[2], answers[3]], strict=True):
            kit.same(answer, grown[prefix], f"ancestors mixed with a stranger, {prefix}")
        kit.same(answers[1], kit.cold(other), f"a stranger among ancestors, {other}")


def _check_last_call_again(kit: _Kit) -> None:
    """The rows of the last call stay askable with the same bits, and what was handed out never changes."""
    with kit.fresh() as adapter:
        held = kit.ask(adapter, kit.prompts)
        expected = dict(zip(kit.prompts, held, strict=True))
        for again in (kit.prompts[::-1], kit.prompts[:2], kit.prompts[1:2]):  # fewer each time, as a session asks
            for prefix, answer in zip(again, kit.ask(adapter, again), strict=True):
                kit.same(answer, expected[prefix], f"the last call's rows asked again, {prefix}", exact=True)
        held = kit.ask(adapter, kit.prompts)
        copies = [bits_of(answer) for answer in held]
        for disclose in (Disclosure(top=1), CHEAP):
            for prefix, before, after in zip(kit.prompts, held, kit.ask(adapter, kit.prompts, disclose), strict=True):
                check_agree(after, before, f"the last call's rows asked for {disclose}, {prefix}")
        for prefix, before, after in zip(kit.prompts, held, kit.ask(adapter, kit.prompts), strict=True):
            kit.same(after, before, f"the last call's rows asked in full again, {prefix}", exact=True)
        for _ in range(3):
            kit.ask(adapter, [prompt.extend(kit.random_ids(1)) for prompt in kit.prompts if kit.fits(len(prompt) + 1)])
        for prefix, answer, bits in zip(kit.prompts, held, copies, strict=True):
            assert bits_of(answer) == bits, (
                f"a distribution that was handed out changed when the adapter computed the next one, {prefix}; "
                "it must not alias a buffer"
            )


def _check_disclosure(kit: _Kit) -> None:
    """At least what was asked, the leading tokens right, and every bound of a tail true; row by row too."""
    most = kit.info.most
    prefix = kit.prompts[0]
    with kit.fresh() as adapter:
        full = kit.one(adapter, prefix)
        if most.kind == "all":
            assert full.tail is None, "info.most is ALL, and an answer to ALL has undisclosed tokens"
        limit = len(full.scores) if most.top is None else most.top
        for top in sorted({1, min(2, limit), min(5, limit), limit}):
            head = kit.one(adapter, prefix, Disclosure(top=top))
            shown = len(head.scores) if head.tail is not None else math.inf
            assert shown >= top, f"Disclosure(top={top}) was answered with {shown} tokens; info.most allows {limit}"
            check_agree(head, full, f"Disclosure(top={top}), {prefix}")
        if most.kind == "all" or most.ids:
            named = tuple(sorted({int(full._sorted(len(full.scores))[0][-1]), *kit.random_ids(3)}))
            head = kit.one(adapter, prefix, Disclosure(top=1, ids=named))
            for token in named:
                try:
                    head.logprob(token)
                except Undisclosed as error:
                    raise AssertionError(f"token {token} was asked for by id and is not in the answer") from error
            check_agree(head, full, f"tokens asked for by id, {prefix}")
        check_agree(kit.one(adapter, prefix, CHEAP), full, f"CHEAP, {prefix}")
    wants = [ALL, Disclosure(top=min(3, limit)), CHEAP, Disclosure(top=1)]
    with kit.fresh() as adapter:
        rows = (kit.prompts * 4)[:4]
        answers = kit.ask(adapter, rows, wants)
        for row, want, answer in zip(rows, wants, answers, strict=True):
            assert isinstance(answer, Distribution)
            check_agree(answer, kit.cold(row), f"each row with its own disclosure, here {want}, {row}", kit.tolerance)
            if want.top is not None and answer.tail is not None:
                assert len(answer.scores) >= want.top, f"a row that asked for {want} got {len(answer.scores)} tokens"
        if most.kind == "all":
            assert isinstance(answers[0], Distribution) and answers[0].tail is None, (
                "a row that asked for ALL beside rows that asked for less was not answered in full"
            )


def _check_bad_rows(kit: _Kit) -> None:
    """A bad row ends alone: an error in its place, and its neighbours answered."""
    good = kit.prompts[:2]
    outside = 2**62 if kit.info.vocab_size is None else kit.info.vocab_size
    bad: list[tuple[str, Prefix]] = [
        ("an id outside the vocabulary", good[0].extend([outside])),
        ("an enormous id", Prefix([2**62])),
    ]
    if kit.info.context_length is not None and kit.info.context_length < 2**22:
        ids = (kit.begin + list(good[0].token_ids) * (kit.info.context_length // len(good[0]) + 1))[
            : kit.info.context_length + 1
        ]
        bad.append(("a prefix longer than the context", Prefix(ids)))
    else:
        kit.skipped.append("a prefix longer than the context: its length is unknown or enormous")
    if kit.bos is None:
        bad.append(("an empty prefix without a begin-of-text token", Prefix()))
    with kit.fresh() as adapter:
        for what, prefix in bad:
            try:
                answers = kit.ask_any(adapter, [good[0], prefix, good[1]])
                (alone,) = kit.ask_any(adapter, [prefix])
            except Exception as error:
                raise AssertionError(f"{what} made predict raise {error!r}; the error is that row's answer") from error
            for answer in (answers[1], alone):
                assert isinstance(answer, DecodekitError), f"{what} was answered with {answer!r}, not with an error"
                if what.endswith("the context"):
                    assert isinstance(answer, ContextOverflow), f"{what} is a ContextOverflow, not {answer!r}"
            for row, answer in zip(good, [answers[0], answers[2]], strict=True):
                kit.same(answer, kit.cold(row), f"the neighbour of {what}, {row}")
            kit.check(adapter, good, f"after {what}")


def _check_eviction(kit: _Kit, many: int) -> None:
    """More sequences than any cache holds, alone and in one call, and the first again."""
    first = kit.prompts[0]
    length = 4 if kit.fits(6) else 2
    crowd = [Prefix([*kit.begin, *kit.random_ids(length)]) for _ in range(many)]
    with kit.fresh() as adapter:
        kit.check(adapter, [first], "before the crowd")
        alone = [kit.one(adapter, prefix) for prefix in crowd]
        kit.check(adapter, [first], f"asked again after {many} other sequences")
        if kit.fits(len(first) + 2):
            kit.check(adapter, [first.extend(kit.random_ids(2))], f"gone on with after {many} other sequences")
        again = [crowd[0], crowd[many // 2], crowd[-1]]
        for prefix, answer in zip(again, kit.ask(adapter, again), strict=True):
            kit.same(answer, alone[crowd.index(prefix)], f"asked again amid {many} sequences, {prefix}")
    kit.same(alone[many // 2], kit.cold(crowd[many // 2]), f"asked after {many // 2} other sequences")
    with kit.fresh() as adapter:
        for prefix, answer, expected in zip(crowd, kit.ask(adapter, crowd), alone, strict=True):
            kit.same(answer, expected, f"{many} sequences in one call, {prefix}")
        grown = [prefix.extend(kit.random_ids(1)) for prefix in crowd[:3]]
        if kit.fits(len(grown[0])):
            kit.check(adapter, grown, f"gone on with after {many} sequences in one call")


def _check_long(kit: _Kit, lengths: Sequence[int]) -> None:
    """Grown past each length on one instance, with branches off on both sides of it."""
    within = [length for length in lengths if kit.fits(length + 12)]
    if len(within) < len(lengths):
        kit.skipped.append(f"prefixes past {lengths[len(within)]} tokens: the context is too short")
    if not within:
        return
    start = list(kit.prompts[0].token_ids)[: within[0] // 2]
    ids = start + kit.random_ids(within[-1] + 12 - len(start))
    known: dict[Prefix, Distribution] = {}
    with kit.fresh() as adapter:
        for length in within:
            below, above = length - kit.rng.randint(1, 6), length + kit.rng.randint(1, 9)
            branch = Prefix(ids[:below]).extend(kit.random_ids(above - below))
            grown = [Prefix(ids[:end]) for end in (below, length - 1, length, length + 1, above)]
            known |= {prefix: kit.one(adapter, prefix) for prefix in grown}  # across the edge one token at a time
            known[branch] = kit.one(adapter, branch)
            with kit.fresh() as other:  # cold, and both in one call: a long prompt is dear, and they share it
                for prefix, answer in zip((grown[-1], branch), kit.ask(other, [grown[-1], branch]), strict=True):
                    kit.same(known[prefix], answer, f"grown or branched past {length} tokens, {prefix}")
        for prefix, answer in known.items():
            kit.same(kit.one(adapter, prefix), answer, f"rolled back, {prefix}")


def _check_traffic(kit: _Kit, rounds: int) -> None:
    """Everything with a known answer, in random batches, on one instance."""
    known = list(kit.colds)
    with kit.fresh() as adapter:
        for _ in range(rounds):
            size = kit.rng.choice([1, 1, 2, 3, 5])
            kit.check(adapter, [kit.rng.choice(known) for _ in range(size)], "random traffic")


def _check_close(kit: _Kit) -> None:
    adapter = blocking(kit.make())
    kit.one(adapter, kit.prompts[0])
    adapter.close()
    try:
        adapter.close()
    except Exception as error:
        raise AssertionError(f"close() a second time does nothing; it raised {error!r}") from error
    try:
        adapter.predict([kit.prompts[0]])
    except AdapterError:
        return
    except Exception as error:
        raise AssertionError(f"predict after close raises AdapterError, not {error!r}") from error
    raise AssertionError("predict after close raises AdapterError; it answered")
