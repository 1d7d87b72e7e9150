"""`asample_valid` draws from the law of `sample_valid`, by enumeration too, and keeps no other task waiting.

Thresholds: a p-value below 1e-6 fails for a chi-square test, |z| above 5 for a mean (p = 6e-7). The seeds are fixed.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from typing import Any

import anyio
import pytest

from decodekit import AsyncSession, ParameterError, PluginError, Session, ValidSamples, asample_valid, sample_valid
from decodekit.search.valid_samples import Method
from tests.search.tables import MAX_TOKENS, PROMPT, Masked, model, odd, plain, texts, valid_of
from tests.search.test_laws import P_VALUE, Z, p_value

METHODS: tuple[Method, ...] = ("rejection", "cars", "smc", "awrs")
PATIENCE = 60  # seconds: nothing waits as long unless a test fails


class Remote:
    """An async adapter: the same model, which answers after the other tasks had their turn."""

    def __init__(self) -> None:
        self.inner = model()
        self.info, self.tokenizer = self.inner.info, self.inner.tokenizer

    async def apredict(self, prefixes: Any, disclose: Any) -> Any:
        await asyncio.sleep(0)
        return self.inner.predict(prefixes, disclose)


ADAPTERS: dict[str, Any] = {"blocking": model, "async": Remote}


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_the_samples_are_those_of_blocking_code(kind: str, loop: str) -> None:
    pytest.importorskip(loop)

    async def main() -> list[ValidSamples]:
        found = []
        async with AsyncSession(ADAPTERS[kind](), seed=5) as session:
            for method in METHODS:
                with anyio.fail_after(PATIENCE):
                    found.append(await asample_valid(session, PROMPT, odd, n=4, method=method, max_tokens=MAX_TOKENS))
        return found

    for method, found in zip(METHODS, anyio.run(main, backend=loop), strict=True):
        assert found == sample_valid(model(), PROMPT, odd, n=4, method=method, max_tokens=MAX_TOKENS, seed=5)


def together(n: int, calls: int, method: Method, valid: Any, adapter: Any) -> list[ValidSamples]:
    """Calls with different seeds, in tasks at the same time."""

    async def main() -> list[ValidSamples]:
        async with AsyncSession(adapter) as session:
            return await asyncio.gather(*(
                asample_valid(session, PROMPT, valid, n=n, method=method, max_tokens=MAX_TOKENS, seed=seed)
                for seed in range(calls)
            ))  # fmt: skip

    return asyncio.run(main())


@pytest.mark.parametrize("method", ["rejection", "cars"])
def test_samples_of_tasks_are_draws_from_the_law(method: Method) -> None:
    p_valid, truth = valid_of(texts(plain))
    calls = together(60, 4, method, odd, model())
    assert p_value(Counter(each.token_ids for call in calls for each in call.samples), truth) > P_VALUE
    for call in calls:
        assert abs(call.p_valid - p_valid) <= Z * call.standard_error + 1e-12


@pytest.mark.parametrize(("method", "valid"), [("awrs", odd), ("smc", Masked())])
def test_weights_of_tasks_are_unbiased(method: Method, valid: Any) -> None:
    p_valid, _ = valid_of(texts(plain))
    values = [call.p_valid for call in together(4, 60, method, valid, Remote())]
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((each - mean) ** 2 for each in values) / (len(values) - 1))
    assert abs(mean - p_valid) < Z * spread / math.sqrt(len(values))


def test_a_slow_validator_keeps_no_other_task_waiting() -> None:
    other = threading.Event()

    def slow(text: str, ended: bool) -> bool:
        assert other.wait(PATIENCE)
        return odd(text, ended)

    async def main() -> ValidSamples:
        call = asyncio.create_task(asample_valid(model(), PROMPT, slow, n=2, max_tokens=MAX_TOKENS, seed=1))
        await asyncio.sleep(0)
        other.set()
        return await call

    assert len(asyncio.run(main()).samples) == 2


def test_a_cancelled_call_tells_what_it_found() -> None:
    async def main() -> ValidSamples:
        asked, loop = asyncio.Event(), asyncio.get_running_loop()

        def told(text: str, ended: bool) -> bool:
            loop.call_soon_threadsafe(asked.set)
            return not ended

        call = asyncio.create_task(
            asample_valid(Remote(), PROMPT, told, n=5, method="rejection", max_tokens=9, seed=1, max_runs=10**6)
        )
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await call
        return cancelled.value.partial  # type: ignore[attr-defined]

    found = asyncio.run(main())
    assert found.finish_reason == "cancelled" and found.samples == () and found.checks >= 1


def test_what_is_refused() -> None:
    async def told(error: type[Exception], words: str, given: Any = None, **options: Any) -> None:
        with pytest.raises(error, match=words):
            await asample_valid(given or model(), PROMPT, options.pop("valid", odd), **options)

    def broken(text: str, ended: bool) -> bool:
        raise ValueError("no parser")

    async def main() -> None:
        await told(ParameterError, "call sample_valid, or give it an AsyncSession", Session(model()))
        await told(ParameterError, "method is one of", method="best")
        await told(TypeError, "temperature", temperature=0.5)
        await told(PluginError, "no parser", valid=broken, max_tokens=3)
        ended = await asample_valid(model(), PROMPT, odd, max_tokens=3, deadline=0.0)
        assert ended.finish_reason == "deadline"

    asyncio.run(main())
