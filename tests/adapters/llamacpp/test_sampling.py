"""A whole llama.cpp run again, token for token: its chain, its seed, its draws, on SmolLM2.

The other side is llama.cpp alone: decode, ``llama_sampler_sample``, one token at a time. The uniforms are those of
libstdc++, so the equality holds where llama-cpp-python was built with it, as on Linux.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import decodekit
from decodekit import Chain

from .conftest import BareLoop

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(sys.platform != "linux", reason="another standard library draws other uniforms"),
]

TOKENS = 200
PROMPT = "Once upon a time, in a small village by the sea,"


def llama_run(bare: BareLoop, adapter: Any, prompt: Sequence[int], samplers: Sequence[Any]) -> list[int]:
    """The ids that llama.cpp generates with these C samplers, to the end of the text or of the budget."""
    api = bare.api
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    for sampler in samplers:
        api.llama_sampler_chain_add(chain, sampler)
    api.llama_memory_clear(api.llama_get_memory(bare.context), True)
    ids: list[int] = []
    part, position = list(prompt), 0
    while len(ids) < TOKENS and not adapter.tokenizer.eos_ids.intersection(ids):
        for i, token in enumerate(part):
            bare.batch.token[i], bare.batch.pos[i], bare.batch.logits[i] = token, position + i, i == len(part) - 1
            bare.batch.n_seq_id[i], bare.batch.seq_id[i][0] = 1, 0
        bare.batch.n_tokens, position = len(part), position + len(part)
        assert api.llama_decode(bare.context, bare.batch) == 0
        ids.append(api.llama_sampler_sample(chain, bare.context, -1))  # which also accepts the token
        part = ids[-1:]
    api.llama_sampler_free(chain)
    return ids


def ours(adapter: Any, prompt: Sequence[int], chain: Chain) -> list[int]:
    return list(decodekit.Session(adapter, chain).generate(list(prompt), max_tokens=TOKENS).token_ids)


def test_the_usual_chain_gives_llama_cpps_tokens(make: Callable[..., Any], bare: BareLoop) -> None:
    adapter, api, seed = make(), bare.api, 1234
    prompt = adapter.tokenizer.encode(PROMPT)
    theirs = llama_run(
        bare,
        adapter,
        prompt,
        [
            api.llama_sampler_init_penalties(bare.vocab_size, 64, 1.1, 0.1, 0.1),
            api.llama_sampler_init_top_k(40),
            api.llama_sampler_init_top_p(0.95, 1),
            api.llama_sampler_init_min_p(0.05, 1),
            api.llama_sampler_init_xtc(0.3, 0.1, 1, seed),
            api.llama_sampler_init_temp(0.8),
            api.llama_sampler_init_dist(seed),
        ],
    )
    parts = [
        ("repetition_penalty", {"repetition_penalty": 1.1, "scope": "output", "window": 64}),
        ("frequency_penalty", {"frequency_penalty": 0.1, "window": 64}),
        ("presence_penalty", {"presence_penalty": 0.1, "window": 64}),
        ("top_k", {"top_k": 40}),
        ("top_p", {"top_p": 0.95}),
        ("min_p", {"min_p": 0.05}),
        ("llamacpp_xtc", {"llamacpp_xtc": 0.3, "threshold": 0.1, "seed": seed}),
        ("temperature", {"temperature": 0.8}),
    ]
    chain = Chain(
        [decodekit.processor(name, **parameters) for name, parameters in parts],
        decodekit.sampler("llamacpp_dist", llamacpp_dist=seed),
    )
    assert ours(adapter, prompt, chain) == theirs


def test_mirostat_gives_llama_cpps_tokens(make: Callable[..., Any], bare: BareLoop) -> None:
    adapter, api, seed = make(), bare.api, 99
    prompt = adapter.tokenizer.encode(PROMPT)
    theirs = llama_run(
        bare, adapter, prompt, [api.llama_sampler_init_temp(0.9), api.llama_sampler_init_mirostat_v2(seed, 4.0, 0.1)]
    )
    chain = Chain(
        [decodekit.processor("temperature", temperature=0.9), decodekit.processor("mirostat_v2", mirostat_v2=4.0)],
        decodekit.sampler("llamacpp_dist", llamacpp_dist=seed, law="discrete"),
    )
    assert ours(adapter, prompt, chain) == theirs
