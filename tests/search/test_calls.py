"""How it is called: what is refused, by name, before a token is drawn; sessions, adapters and their settings."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from decodekit import (
    AsyncSession,
    Chain,
    Context,
    Distribution,
    EmptySupport,
    ParameterError,
    Session,
    ValidSample,
    processor,
    sample_valid,
)
from decodekit.testing import TableAdapter
from tests.search.tables import LETTERS, MAX_TOKENS, PROMPT, Masked, model, odd, scores


def impure(dist: Distribution, ctx: Context) -> Distribution:
    return dist


impure.pure = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"n": 0}, "n must be an integer from 1"),
        ({"n": True}, "n must be an integer"),
        ({"n": 2.5}, "n must be"),
        ({"method": "best"}, "method is one of 'rejection', 'cars', 'smc', 'awrs', not 'best'"),
        ({"method": ["smc"]}, "method is one of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"seed": "7"}, "seed"),
        ({"chain": [impure]}, "must run only once"),
        ({"chain": "greedy"}, "sampler is 'greedy', and only multinomial"),
        ({"chain": "inverse_cdf"}, "sampler is 'inverse_cdf'"),
        ({"chain": [processor("xtc", threshold=0.05, xtc=1.0)]}, "'xtc' draws random numbers"),
        ({"stop_ids": [99]}, "stop_ids: token id 99"),
        ({"stop_ids": "ab"}, "stop_ids"),
        ({"max_runs": 0}, "max_runs"),
        ({"max_checks": 0}, "max_checks"),
        ({"resample_below": 1.5}, "resample_below is a number from 0 to 1"),
        ({"resample_below": math.nan}, "resample_below"),
        ({"deadline": -1.0}, "deadline"),
        ({"metadata": 3}, "metadata"),
        ({"priority": 10_000}, "priority"),
        ({"valid": None}, "valid: give a function"),
        ({"valid": lambda _: True}, "valid: give a function"),
        ({"valid": 7}, "valid: give a function"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [77]}, "prompt 0: token id 77"),
        ({"model": Session(model(), stop=["b"])}, "stop: the session has stop strings"),
        ({"model": Session(model(), ban=["b"])}, "ban: the session has banned texts"),
        ({"model": AsyncSession(model())}, "await decodekit.asample_valid, or give it a Session"),
        ({"model": TableAdapter(scores, 4)}, "stop_ids: this adapter names no end-of-text token"),
        ({"model": TableAdapter(scores, 4), "stop_ids": [3]}, "valid: this adapter has no tokenizer"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(keywords: dict[str, Any], says: str) -> None:
    asked: list[Any] = []

    def valid(text: str, ended: bool) -> bool:
        asked.append(text)
        return True

    given_: dict[str, Any] = {"model": model(), "prompt": PROMPT, "valid": valid, "n": 2, "max_tokens": 3} | keywords
    with pytest.raises(ParameterError) as raised:
        sample_valid(given_.pop("model"), given_.pop("prompt"), given_.pop("valid"), **given_)
    assert says in str(raised.value) and asked == []


@settings(max_examples=60)
@given(
    method=st.sampled_from(["rejection", "cars", "smc", "awrs"]),
    n=st.integers(1, 6),
    seed=st.integers(0, 2**64 - 1),
    most=st.integers(1, 4),
    refused=st.sets(st.sampled_from(["", "a", "b", "c", "ab", "ba", "ca", "abc", "bcc"])),
    complete=st.booleans(),
    below=st.floats(0, 1),
)
def test_whatever_is_valid_every_sample_is(
    method: Any, n: int, seed: int, most: int, refused: set[str], complete: bool, below: float
) -> None:
    """Also where a beginning is refused and what follows it would not be: it is never written."""

    def valid(text: str, ended: bool) -> bool:
        return text not in refused and (not ended or len(text) > 1)

    try:
        found = sample_valid(model(), PROMPT, valid, n=n, method=method, seed=seed, max_tokens=most, max_runs=40,
                             stop_when_complete=complete, resample_below=below)  # fmt: skip
    except EmptySupport as error:
        found = error.partial
        event("nothing is valid")
    for each in found.samples:
        assert isinstance(each, ValidSample) and len(each.token_ids) == len(each.streams) <= most
        ids = [i for i in each.token_ids if i < 3]
        assert each.text == "".join(LETTERS[i] for i in ids) and valid(each.text, True)
        assert all(valid(each.text[:i], False) for i in range(1, len(ids) + 1))
        assert each.finish == ("stop" if each.token_ids[-1] == 3 else "complete") and each.log_weight <= 1e-12
    assert len(found.samples) <= n and 0 <= found.p_cut <= 1 + 1e-9 and 0 <= found.p_valid <= 1 + 1e-9
    assert 0 <= found.bounds.low <= found.bounds.high <= 1 and found.ess <= len(found.samples) + 1e-9
    assert sum(found.weights) == pytest.approx(1 if found.samples else 0)


def test_the_settings_of_a_session_hold() -> None:
    chain = Chain([processor("temperature", temperature=2.0)])
    session = Session(model(), chain, seed=4, max_tokens=MAX_TOKENS)
    by_session = sample_valid(session, PROMPT, odd, n=5)
    alone = sample_valid(model(), PROMPT, odd, n=5, chain=chain, seed=4, max_tokens=MAX_TOKENS)
    assert by_session == alone and alone.seed == 4
    other = sample_valid(session, PROMPT, odd, n=5, chain=Chain(), seed=5)
    assert other.seed == 5 and other.samples != alone.samples
    fresh = sample_valid(Session(model()), PROMPT, odd, max_tokens=MAX_TOKENS)
    assert sample_valid(model(), PROMPT, odd, max_tokens=MAX_TOKENS, seed=fresh.seed) == fresh


def test_an_adapter_without_a_tokenizer_takes_a_validator_of_ids() -> None:
    found = sample_valid(TableAdapter(scores, 4), PROMPT, Masked(), n=4, seed=1, max_tokens=MAX_TOKENS, stop_ids=[3])
    with_text = sample_valid(model(), PROMPT, Masked(), n=4, seed=1, max_tokens=MAX_TOKENS)
    assert [each.token_ids for each in found.samples] == [each.token_ids for each in with_text.samples]
    assert {each.text for each in found.samples} == {""}


def test_an_async_adapter_is_asked_on_a_loop_of_its_own() -> None:
    class Remote:
        def __init__(self) -> None:
            self._table = model()
            self.info, self.tokenizer = self._table.info, self._table.tokenizer

        async def apredict(self, prefixes: Any, disclose: Any) -> Any:
            await asyncio.sleep(0)
            return self._table.predict(prefixes, disclose)

        async def aclose(self) -> None:
            pass

    found = sample_valid(Remote(), PROMPT, odd, n=4, seed=1, max_tokens=MAX_TOKENS)
    assert found == sample_valid(model(), PROMPT, odd, n=4, seed=1, max_tokens=MAX_TOKENS)


def test_a_function_sees_whole_characters_and_the_text_of_the_result() -> None:
    from decodekit.testing import BytesTokenizer

    text = "é"
    pieces = [*text.encode(), 256]

    def rows(ids: tuple[int, ...]) -> list[float]:
        row = [-math.inf] * 257
        row[pieces[len(ids) - 1]] = 0.0
        return row

    seen: list[tuple[str, bool]] = []

    def valid(text: str, ended: bool) -> bool:
        seen.append((text, ended))
        return True

    make: Callable[[], TableAdapter] = lambda: TableAdapter(rows, 257, tokenizer=BytesTokenizer())  # noqa: E731
    found = sample_valid(make(), [0], valid, method="rejection", seed=1, max_tokens=3)
    assert seen == [("", False), (text, False), (text, True)] and found.samples[0].text == text
    cut = sample_valid(make(), [0], lambda *_: True, method="rejection", seed=1, max_tokens=2, max_runs=1)
    assert cut.samples == () and cut.cut == 1 and cut.finish_reason == "max_runs" and cut.p_cut == 1.0
