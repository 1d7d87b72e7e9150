"""The torch adapter on the CPU, SmolLM2 in float32, against transformers' `generate` with the same processors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import decodekit

from . import torch_memory
from .decoding import Fresh
from .timing import Ratio, in_turns, paired, ratio_of, seconds

TOKENS = 64
SAMPLES = 16
PROMPT = 512
TEXT = "Once upon a time in a small village by the sea"


def chain() -> decodekit.Chain:
    build = decodekit.processor
    return decodekit.Chain(
        [build("temperature", temperature=0.8), build("top_k", top_k=40), build("top_p", top_p=0.95)]
    )


def fresh_of(adapter: Any) -> Fresh:
    """Sessions over the same module, each with an adapter and a cache of its own."""
    from decodekit_torch import TorchAdapter

    module, tokenizer = adapter.module, adapter.tokenizer
    return Fresh(lambda: TorchAdapter(model=module, tokenizer=tokenizer), chain())


def single(fresh: Fresh, ids: list[int], folder: Path) -> Callable[[], object]:
    """One sequence, with a trace at level proof."""
    prompt = decodekit.Prefix(ids)
    turn = iter(range(10**9))

    def run() -> object:
        index = next(turn)
        steps = fresh.session.stream(prompt, max_tokens=TOKENS, seed=index, trace=folder / f"single-{index}.jsonl")
        return sum(1 for _ in steps)

    return run


def samples(fresh: Fresh, ids: list[int], tokens: int) -> Callable[[], object]:
    """Many samples of one long prompt."""
    turn = iter(range(10**9))

    def run() -> object:
        return fresh.session.generate_many([decodekit.Prefix(ids)], n=SAMPLES, max_tokens=tokens, seed=next(turn))

    return run


def generate(adapter: Any, ids: list[int], tokens: int, copies: int, calls: int) -> Callable[[], object]:
    """transformers' own loop."""
    import torch

    given = torch.tensor([ids])
    settings: dict[str, Any] = {
        "do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "max_new_tokens": tokens,
        "min_new_tokens": tokens, "pad_token_id": 0, "num_return_sequences": copies,
    }  # fmt: skip

    def run() -> object:
        with torch.inference_mode():
            return [
                adapter.module.generate(given, attention_mask=torch.ones_like(given), **settings) for _ in range(calls)
            ]

    return run


def measure(rounds: int = 4) -> Iterator[Ratio]:
    """All rows of the table."""
    adapter = decodekit.adapter("torch", model="smollm2")
    short = adapter.tokenizer.encode(TEXT)
    long = (short * (PROMPT // len(short) + 1))[:PROMPT]
    fresh = fresh_of(adapter)
    with tempfile.TemporaryDirectory() as folder:
        yield paired(
            f"one sequence, level proof, {TOKENS} tokens", "generate", single(fresh, short, Path(folder)),
            generate(adapter, short, TOKENS, 1, 1), rounds=rounds, goal=1.1, before=fresh.renew,
        )  # fmt: skip
    yield paired(
        f"{SAMPLES} samples of {PROMPT} + {TOKENS} tokens", f"{SAMPLES} calls of generate",
        samples(fresh, long, TOKENS), generate(adapter, long, TOKENS, 1, SAMPLES), rounds=2, goal=5, before=fresh.renew,
    )  # fmt: skip
    yield paired(
        f"{SAMPLES} samples of {PROMPT} + {TOKENS} tokens", "generate(num_return_sequences=16)",
        samples(fresh, long, TOKENS), generate(adapter, long, TOKENS, SAMPLES, 1), rounds=2, goal=2, before=fresh.renew,
    )  # fmt: skip
    yield paired(
        f"{SAMPLES} samples of {PROMPT} + 1 tokens: the prefill", "generate(num_return_sequences=16)",
        samples(fresh, long, 1), generate(adapter, long, 1, SAMPLES, 1), rounds=2, goal=1, before=fresh.renew,
    )  # fmt: skip
    yield decoding_part(adapter, fresh, long)
    adapter.close()
    yield torch_memory.measure()
    yield torch_memory.measure(fixed=True)


def decoding_part(adapter: Any, fresh: Fresh, long: list[int], rounds: int = 2) -> Ratio:
    """What the tokens after the first cost: the whole less the prefill, on both sides."""

    def spent(run: Callable[[int], Callable[[], object]]) -> float:
        fresh.renew()
        whole = seconds(run(TOKENS))
        fresh.renew()
        return whole - seconds(run(1))

    pairs = in_turns(
        lambda: spent(lambda tokens: samples(fresh, long, tokens)),
        lambda: spent(lambda tokens: generate(adapter, long, tokens, SAMPLES, 1)),
        rounds,
    )
    return ratio_of(f"{SAMPLES} samples: the decode part", "generate(num_return_sequences=16)", pairs, 0.95)
