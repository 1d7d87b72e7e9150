"""The torch adapter on a device, with a model of random weights and the size of Llama 3.2 1B, in bfloat16.

`.ci/gpu` runs each part in a process of its own, with a limit to its time. On the CPU the model is tiny: that shows
that a part runs, and no more.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable, Iterator
from typing import Any

import decodekit

from . import device_draws
from .timing import Ratio, paired

LLAMA_1B = {
    "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}  # fmt: skip
TINY = {
    "vocab_size": 2000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 1024,
}  # fmt: skip
PROMPT, TOKENS, CALLERS = 32, 64, 32
HEAD = 64  # the default on a GPU
TEMPERATURE, TOP_K, TOP_P = 0.8, 40, 0.95


def about(device: str) -> str:
    """The card and the versions, for the head of the table."""
    import torch
    import transformers

    card = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return (
        f"Card: {card}, torch {torch.__version__}, transformers {transformers.__version__}, Python "
        f"{platform.python_version()}. Model: random weights in bfloat16, "
        f"{'the size of Llama 3.2 1B' if device == 'cuda' else 'tiny'}."
    )


def model_on(device: str) -> Any:
    """The model; without an end-of-text token, so both sides do equal work."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        **(LLAMA_1B if device == "cuda" else TINY), bos_token_id=None, eos_token_id=None, pad_token_id=None
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    model.generation_config.pad_token_id = 0
    return model


class Prompts:
    """Prompts that differ in their first token, so no cache holds a part of the next one.

    Args:
        size: of the vocabulary.
    """

    def __init__(self, size: int) -> None:
        self._size, self._next = size, 0

    def make(self, count: int) -> list[list[int]]:
        made = [
            [(7 * i + first) % self._size for i in range(PROMPT)] for first in range(self._next, self._next + count)
        ]
        self._next = (self._next + count) % (self._size - count)
        return made


def chain_of(caller: int = 0) -> decodekit.Chain:
    build = decodekit.processor
    return decodekit.Chain(
        [
            build("temperature", temperature=TEMPERATURE),
            build("top_k", top_k=TOP_K - caller),
            build("top_p", top_p=TOP_P),
        ]
    )


def generated(model: Any, prompts: Prompts, rows: int, tokens: int, **cache: Any) -> Callable[[], object]:
    """transformers' own loop over a batch of prompts of one length."""
    import torch

    def run() -> object:
        given = torch.tensor(prompts.make(rows), device=model.device)
        with torch.inference_mode():
            return model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=True, temperature=TEMPERATURE, top_k=TOP_K,
                top_p=TOP_P, max_new_tokens=tokens, min_new_tokens=tokens, **cache,
            ).tolist()  # fmt: skip

    return run


def one(device: str, *, compiled: bool) -> Iterator[Ratio]:
    """One sequence, recorded at level proof."""
    from decodekit_torch import TorchAdapter

    model = model_on(device)
    prompts = Prompts(model.config.vocab_size)
    adapter = TorchAdapter(model=model, compile=compiled, head=HEAD, n_ctx=512, max_sequences=8)
    session, turn = decodekit.Session(adapter, chain_of()), iter(range(10**9))

    def ours() -> object:
        return session.generate(prompts.make(1)[0], max_tokens=TOKENS, seed=next(turn))

    cache = {"cache_implementation": "static"} if compiled else {}
    yield paired(
        f"one sequence, {'compiled' if compiled else 'eager'}, level proof, {TOKENS} tokens",
        "generate" + (", static cache" if compiled else ""), ours, generated(model, prompts, 1, TOKENS, **cache),
        rounds=6, goal=1.1,
    )  # fmt: skip
    print(f"capabilities: {adapter.capabilities}")


def many(device: str) -> Iterator[Ratio]:
    """32 callers with chains of their own, and 32 sequences of one call."""
    from decodekit_torch import TorchAdapter

    model = model_on(device)
    prompts = Prompts(model.config.vocab_size)
    adapter = TorchAdapter(model=model, head=HEAD, max_sequences=CALLERS)
    session, waiting = decodekit.Session(adapter, chain_of()), decodekit.AsyncSession(adapter)
    turn = iter(range(10**9))

    async def called() -> object:
        seed = next(turn)
        return await asyncio.gather(*(
            waiting.generate(prompt, chain=chain_of(i), seed=seed, stream=i, max_tokens=TOKENS)
            for i, prompt in enumerate(prompts.make(CALLERS))
        ))  # fmt: skip

    def together() -> object:
        return session.generate_many(prompts.make(CALLERS), seed=next(turn), max_tokens=TOKENS)

    theirs = generated(model, prompts, CALLERS, TOKENS)
    against = f"generate, a batch of {CALLERS}"
    with asyncio.Runner() as runner:
        yield paired(
            f"{CALLERS} async callers with their own chains, {TOKENS} tokens each", against,
            lambda: runner.run(called()), theirs, rounds=3, goal=0.8,
        )  # fmt: skip
    yield paired(
        f"{CALLERS} sequences of one call, {TOKENS} tokens each", against, together, theirs, rounds=3, goal=0.8
    )


def draws(device: str) -> Iterator[Ratio]:
    """From rows of logits to choices."""
    size = device_draws.V if device == "cuda" else 4000
    return device_draws.compared(device, size=size, tokens=2, rounds=10)


PARTS: dict[str, Callable[[str], Iterator[Ratio]]] = {
    "eager": lambda device: one(device, compiled=False),
    "compiled": lambda device: one(device, compiled=True),
    "draws": draws,
    "engine": many,
}


def measure() -> Iterator[Ratio]:
    """All rows of the table, in one process; none where torch sees no GPU."""
    import torch

    if torch.cuda.is_available():
        for part in PARTS.values():
            yield from part("cuda")


def main(device: str, what: str) -> None:
    """Print what the table begins with, for 'head', or the rows of a part."""
    if what == "head":
        print(about(device))
        return
    for ratio in PARTS[what](device):
        print(ratio.line(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
