"""The decode loop on SmolLM2, against a bare C-API loop and against ``Llama.create_completion``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import decodekit

from .timing import Ratio, paired

TOKENS = 600
PROMPT = "Once upon a time in a small village by the sea"
CHAIN = (("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temperature", 0.8))


class Fresh:
    """A session whose adapter is made anew before each run: its cache is empty, but for two tokens of another text.

    Args:
        make: makes the adapter.
        options: of the session.
    """

    def __init__(self, make: Callable[[], Any], chain: decodekit.Chain, **options: Any) -> None:
        self._make, self._chain, self._options = make, chain, options
        self._adapter: Any = None
        self.renew()

    def renew(self) -> None:
        """Close the adapter, and make the next one, with what is made once for a tokenizer."""
        if self._adapter is not None:
            self._adapter.close()
        self._adapter = self._make()
        self.session = decodekit.Session(Endless(self._adapter), self._chain, **self._options)  # type: ignore[arg-type]
        self.session.generate(decodekit.Prefix([1]), max_tokens=2)


def ours(fresh: Fresh, folder: Path, tokens: int = TOKENS) -> Callable[[], object]:
    """A traced run at level proof; end-of-text does not end it, so both sides do equal work."""
    turn = iter(range(10**9))
    prompt = decodekit.Prefix(fresh.session.adapter.tokenizer.encode(PROMPT))  # type: ignore[union-attr]

    def run() -> object:
        index = next(turn)
        trace = folder / f"{id(fresh)}-{index}.jsonl"
        return sum(1 for _ in fresh.session.stream(prompt, max_tokens=tokens, seed=index, trace=trace))

    return run


def parameters_of(make: Callable[[], Any]) -> Any:
    """The context settings that an adapter hands to llama.cpp."""
    import llama_cpp

    seen: list[Any] = []
    init = llama_cpp.llama_init_from_model

    def noted(model: Any, parameters: Any) -> Any:
        seen.append(parameters)
        return init(model, parameters)

    llama_cpp.llama_init_from_model = noted
    try:
        make().close()
    finally:
        llama_cpp.llama_init_from_model = init
    return seen[-1]


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


def bare_loop(parameters: Any, tokens: int = TOKENS) -> Callable[[], object]:
    """llama.cpp through ctypes and nothing else: the same model, context settings and samplers, no records."""
    import ctypes

    import llama_cpp as C  # noqa: N812 - it is the C library

    from decodekit.local.model_files import find_model

    model = C.llama_model_load_from_file(str(find_model("smollm2")).encode(), C.llama_model_default_params())
    context = C.llama_init_from_model(model, parameters)
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

    def make() -> Any:
        return decodekit.adapter("llamacpp", model="smollm2", n_ctx=2048)

    chain = decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in CHAIN])
    with tempfile.TemporaryDirectory() as folder:
        plain = Fresh(make, chain)
        yield paired(
            f"decode loop, level proof, {TOKENS} tokens", "bare C-API loop", ours(plain, Path(folder)),
            bare_loop(parameters_of(make)), rounds=rounds, goal=0.93, before=plain.renew,
        )  # fmt: skip
        logged = Fresh(make, chain, top_logprobs=20)
        yield paired(
            "decode loop with the top 20 logged, 64 tokens", "Llama.create_completion(logprobs=20)",
            ours(logged, Path(folder), 64), completion(64), rounds=rounds, goal=5, before=logged.renew,
        )  # fmt: skip
