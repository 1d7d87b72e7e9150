"""The scenarios of `check_adapter`: each asks in one way, and checks the answers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure, Undisclosed
from decodekit.errors import AdapterError, ContextOverflow, DecodekitError
from decodekit.model.adapter import Adapter, AdapterInfo
from decodekit.model.asking import blocking, cached_tokens
from decodekit.model.prefix import Prefix
from decodekit.testing.adapter_kit import Kit
from decodekit.testing.check_tokenizer import check_tokenizer
from decodekit.testing.comparing import bits_of, check_agree

__all__ = [
    "check_bad_rows",
    "check_batches",
    "check_branches_and_rollbacks",
    "check_chain_in_one_call",
    "check_close",
    "check_determinism",
    "check_disclosure",
    "check_eviction",
    "check_info",
    "check_its_tokenizer",
    "check_last_call_again",
    "check_long",
    "check_scores",
    "check_shared_suffixes",
    "check_traffic",
]


def check_info(info: AdapterInfo) -> None:
    """``info`` is complete, and can be written into a trace."""
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


def check_its_tokenizer(adapter: Adapter, seed: int) -> None:
    """The tokenizer meets its contract, and agrees with ``info``."""
    tokenizer, info = adapter.tokenizer, adapter.info
    if tokenizer is None:
        return
    check_tokenizer(tokenizer, vocab_size=info.vocab_size, seed=seed)
    assert info.tokenizer_fingerprint in ("", tokenizer.fingerprint), (
        "info.tokenizer_fingerprint is not the tokenizer's fingerprint"
    )


def check_determinism(kit: Kit) -> None:
    """Two new instances give the same answer, if ``info.deterministic`` is True."""
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


def check_scores(kit: Kit) -> None:
    """Scores are logits or log-probabilities, and no probabilities, which would make every token nearly as likely."""
    for prefix in kit.prompts[:2]:
        answer = kit.cold(prefix)
        if not isinstance(answer, Distribution):
            continue
        scores = answer.scores
        looks = len(scores) > 1 and scores.min() >= 0 and abs(float(scores.sum()) - 1) < 1e-3
        assert not looks, (
            f"the scores after {prefix} lie between 0 and 1 and sum to 1: they are probabilities; give logits, or "
            "their logarithms"
        )


def check_batches(kit: Kit) -> None:
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


def check_shared_suffixes(kit: Kit) -> None:
    """The same ids after different prefixes: an adapter that groups prefixes by their uncached ids fails here."""
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
        kit.check(adapter, [*ends, Prefix(suffix)], "a suffix shared by a cached, an uncached and an empty prefix")


def check_branches_and_rollbacks(kit: Kit) -> None:
    """Two continuations of one prefix, back to the prefix and to half of it, and forward again."""
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
        kit.check(adapter, [trunk], "rolled back to the shared prefix")
        kit.check(adapter, [shorter], "rolled back to half of it")
        kit.check(adapter, [aside], "a new branch from there")
        kit.check(adapter, [left], "the first branch again")
        kit.check(adapter, [Prefix(right.token_ids)], "the sibling again, built from its ids")
    with kit.fresh() as adapter:
        kit.check(adapter, [left, right], "two branches in one call")
        kit.check(adapter, [right.extend(kit.random_ids(1)), aside], "both continued")


def check_chain_in_one_call(kit: Kit) -> None:
    """All ancestors of a prefix, as for scoring a text or verifying a draft."""
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
            kit.same(answer, grown[prefix], f"ancestors mixed with another prefix, {prefix}")
        kit.same(answers[1], kit.cold(other), f"another prefix among ancestors, {other}")


def check_last_call_again(kit: Kit) -> None:
    """The prefixes of the last call give the same bits again, and a returned distribution never changes."""
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
                f"a returned distribution changed when the adapter computed the next one, {prefix}; "
                "it must not share memory with a buffer"
            )


def check_disclosure(kit: Kit) -> None:
    """At least what was asked for, the right leading tokens, true bounds of the tail; also with one need per row."""
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
            _check_named_ids(kit, adapter, full)
        check_agree(kit.one(adapter, prefix, CHEAP), full, f"CHEAP, {prefix}")
    _check_one_disclosure_per_row(kit, limit)


def _check_named_ids(kit: Kit, adapter: Adapter, full: Distribution) -> None:
    prefix = kit.prompts[0]
    named = tuple(sorted({int(full.row.first(len(full.row))[0][-1]), *kit.random_ids(3)}))
    head = kit.one(adapter, prefix, Disclosure(top=1, ids=named))
    for token in named:
        try:
            head.logprob(token)
        except Undisclosed as error:
            raise AssertionError(f"token {token} was asked for by id and is not in the answer") from error
    check_agree(head, full, f"tokens asked for by id, {prefix}")


def _check_one_disclosure_per_row(kit: Kit, limit: int) -> None:
    wants = [ALL, Disclosure(top=min(3, limit)), CHEAP, Disclosure(top=1)]
    with kit.fresh() as adapter:
        rows = (kit.prompts * 4)[:4]
        answers = kit.ask(adapter, rows, wants)
        for row, want, answer in zip(rows, wants, answers, strict=True):
            assert isinstance(answer, Distribution)
            check_agree(answer, kit.cold(row), f"each row with its own disclosure, here {want}, {row}", kit.tolerance)
            if want.top is not None and answer.tail is not None:
                assert len(answer.scores) >= want.top, f"a row that asked for {want} got {len(answer.scores)} tokens"
        if kit.info.most.kind == "all":
            assert isinstance(answers[0], Distribution) and answers[0].tail is None, (
                "a row that asked for ALL in one call with rows that asked for less was not answered in full"
            )


def check_bad_rows(kit: Kit) -> None:
    """A bad row gets an error in its place, and the other rows are answered."""
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
        kit.skipped.append("a prefix longer than the context: the context length is unknown or very large")
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
                kit.same(answer, kit.cold(row), f"in one call with {what}, {row}")
            kit.check(adapter, good, f"after {what}")


def check_eviction(kit: Kit, many: int) -> None:
    """More sequences than a cache holds, alone and in one call, and the first one again."""
    first = kit.prompts[0]
    length = 4 if kit.fits(6) else 2
    others = [Prefix([*kit.begin, *kit.random_ids(length)]) for _ in range(many)]
    with kit.fresh() as adapter:
        kit.check(adapter, [first], f"before {many} other sequences")
        alone = [kit.one(adapter, prefix) for prefix in others]
        kit.check(adapter, [first], f"asked again after {many} other sequences")
        if kit.fits(len(first) + 2):
            kit.check(adapter, [first.extend(kit.random_ids(2))], f"continued after {many} other sequences")
        again = [others[0], others[many // 2], others[-1]]
        for prefix, answer in zip(again, kit.ask(adapter, again), strict=True):
            kit.same(answer, alone[others.index(prefix)], f"asked again among {many} sequences, {prefix}")
    kit.same(alone[many // 2], kit.cold(others[many // 2]), f"asked after {many // 2} other sequences")
    with kit.fresh() as adapter:
        for prefix, answer, expected in zip(others, kit.ask(adapter, others), alone, strict=True):
            kit.same(answer, expected, f"{many} sequences in one call, {prefix}")
        grown = [prefix.extend(kit.random_ids(1)) for prefix in others[:3]]
        if kit.fits(len(grown[0])):
            kit.check(adapter, grown, f"continued after {many} sequences in one call")


def check_long(kit: Kit, lengths: Sequence[int]) -> None:
    """One sequence that grows past each length on one instance, with a branch from below to above the length."""
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
            known |= {prefix: kit.one(adapter, prefix) for prefix in grown}  # past the length one token at a time
            known[branch] = kit.one(adapter, branch)
            with kit.fresh() as other:  # cold, and both in one call: the long prompt is expensive, and they share it
                for prefix, answer in zip((grown[-1], branch), kit.ask(other, [grown[-1], branch]), strict=True):
                    kit.same(known[prefix], answer, f"grown or branched past {length} tokens, {prefix}")
        for prefix, answer in known.items():
            kit.same(kit.one(adapter, prefix), answer, f"rolled back, {prefix}")


def check_traffic(kit: Kit, rounds: int) -> None:
    """All prefixes with a known answer, in random batches, on one instance."""
    known = list(kit.colds)
    with kit.fresh() as adapter:
        for _ in range(rounds):
            size = kit.rng.choice([1, 1, 2, 3, 5])
            kit.check(adapter, [kit.rng.choice(known) for _ in range(size)], "random batches")


def check_close(kit: Kit) -> None:
    """Closing a second time does nothing, and a closed adapter raises `AdapterError`."""
    adapter = blocking(kit.make())
    kit.one(adapter, kit.prompts[0])
    adapter.close()
    try:
        adapter.close()
    except Exception as error:
        raise AssertionError(f"close() a second time does nothing; it raised {error!r}") from error
    try:
        cached_tokens(adapter, kit.prompts[0], asked=False)
    except Exception as error:
        raise AssertionError(f"cached_tokens after close says None; it raised {error!r}") from error
    try:
        adapter.predict([kit.prompts[0]])
    except AdapterError:
        return
    except Exception as error:
        raise AssertionError(f"predict after close raises AdapterError, not {error!r}") from error
    raise AssertionError("predict after close raises AdapterError; it answered")
