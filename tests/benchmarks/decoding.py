"""The decode loop on SmolLM2, against a bare C-API loop and against ``Llama.create_completion``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import decodekit

from .timing import Ratio, paired

TOKENS = 600
PROMPT = "Once upon a time in a small village by the sea"
CHAIN = (("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temperature", 0.8))


def ours(session: decodekit.Session, folder: Path, tokens: int = TOKENS) -> Callable[[], object]:
    """A traced run at level proof; the cache is empty and end-of-text does not end it, so both sides do equal work."""
    turn = iter(range(10**9))
    prompt = decodekit.Prefix(session.adapter.tokenizer.encode(PROMPT))  # type: ignore[union-attr]

    def run() -> object:
        index = next(turn)
        session.adapter._adapter._memory.clear()  # type: ignore[attr-defined]  # the bare loop starts from an empty cache too
        steps = session.stream(prompt, max_tokens=tokens, seed=index, trace=folder / f"{id(session)}-{index}.jsonl")
        return sum(1 for _ in steps)

    return run


class EndlessTokenizer:
    """The adapter's tokenizer without end-of-text tokens."""

    def __init__(self, tokenizer: object) -> None:
        self._tokenizer = tokenizer
        self.token_bytes = tokenizer.token_bytes  # type: ignore[attr-defined]
        self.eos_ids: frozenset[int] = frozenset()

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)


class Endless:
    """The adapter with an endless tokenizer."""

    def __init__(self, adapter: decodekit.Adapter) -> None:
        self._adapter = adapter
        self.tokenizer = EndlessTokenizer(adapter.tokenizer)
        self.info, self.predict = adapter.info, adapter.predict  # looked up for each token

    def __getattr__(self, name: str) -> object:
        return getattr(self._adapter, name)


def bare_loop(adapter: object, tokens: int = TOKENS) -> Callable[[], object]:
    """llama.cpp through ctypes and nothing else: the same model, context settings and samplers, no records."""
    import ctypes

    import llama_cpp as C  # noqa: N812 - it is the C library

    from decodekit.local.model_files import find_model

    model = C.llama_model_load_from_file(str(find_model("smollm2")).encode(), C.llama_model_default_params())
    context = C.llama_init_from_model(model, adapter._context.parameters)  # type: ignore[attr-defined]
    vocab = C.llama_model_get_vocab(model)
    text = PROMPT.encode()
    ids = (C.llama_token * 64)()
    count = C.llama_tokenize(vocab, text, len(text), ids, 64, False, False)
    turn = iter(range(10**9))

    def run() -> object:
        sampler = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        C.llama_sampler_chain_add(sampler, C.llama_sampler_init_top_k(40))
        C.llama_sampler_chain_add(sampler, C.llama_sampler_init_top_p(0.95, 1))
        C.llama_sampler_chain_add(sampler, C.llama_sampler_init_min_p(0.05, 1))
        C.llama_sampler_chain_add(sampler, C.llama_sampler_init_temp(0.8))
        C.llama_sampler_chain_add(sampler, C.llama_sampler_init_dist(next(turn)))
        C.llama_memory_clear(C.llama_get_memory(context), True)
        C.llama_decode(context, C.llama_batch_get_one(ids, count))
        one = (C.llama_token * 1)()
        for step in range(tokens):
            one[0] = C.llama_sampler_sample(sampler, context, -1)
            if step + 1 < tokens:
                C.llama_decode(context, C.llama_batch_get_one(one, 1))
        C.llama_sampler_free(sampler)
        return ctypes

    return run


def completion(tokens: int) -> Callable[[], object]:
    """llama-cpp-python's own loop with the top 20 logged."""
    import llama_cpp

    from decodekit.local.model_files import find_model

    model = llama_cpp.Llama(str(find_model("smollm2")), n_ctx=2048, logits_all=True, verbose=False, n_threads=None)
    bias = {0: -100.0, 2: -100.0}  # no end of text, so that both sides do equal work
    turn = iter(range(10**9))

    def run() -> object:
        return model.create_completion(
            PROMPT, max_tokens=tokens, logprobs=20, top_k=40, top_p=0.95, min_p=0.05, temperature=0.8,
            repeat_penalty=1.0, seed=next(turn), logit_bias=bias,
        )  # fmt: skip

    return run


def measure(rounds: int = 12) -> Iterator[Ratio]:
    """All rows of the table."""
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=2048)
    chain = decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in CHAIN])
    with tempfile.TemporaryDirectory() as folder:
        session = decodekit.Session(Endless(adapter), chain)  # type: ignore[arg-type]
        yield paired(
            f"decode loop, level proof, {TOKENS} tokens", "bare C-API loop", ours(session, Path(folder)),
            bare_loop(adapter), rounds=rounds, goal=0.93,
        )  # fmt: skip
        logged = decodekit.Session(Endless(adapter), chain, top_logprobs=20)  # type: ignore[arg-type]
        yield paired(
            "decode loop with the top 20 logged, 64 tokens", "Llama.create_completion(logprobs=20)",
            ours(logged, Path(folder), 64), completion(64), rounds=rounds, goal=5,
        )  # fmt: skip
