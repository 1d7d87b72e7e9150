"""The preset beside transformers' own ``generate`` on a tiny random GPT-2: the final scores of every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCAB, STEPS, EOS = 60, 10, 3
SETS = 120


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=EOS
    )
    made = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        made.lm_head.weight.normal_(0, 2.0)  # logits with some spread
    return made


def settings(rng: np.random.Generator) -> dict[str, Any]:
    """A random choice of everything ``generate`` has an order for."""
    ids = tuple(rng.choice(np.arange(4, VOCAB), 4, replace=False).tolist())
    every: dict[str, Any] = {
        "temperature": float(rng.uniform(0.3, 2.5)),
        "top_h": float(rng.uniform(0.2, 0.95)),
        "top_k": int(rng.integers(1, 50)),
        "top_p": float(rng.uniform(0.3, 0.99)),
        "min_p": float(rng.uniform(0.01, 0.3)),
        "typical_p": float(rng.uniform(0.3, 0.99)),
        "epsilon_cutoff": float(rng.uniform(1e-4, 0.05)),
        "eta_cutoff": float(rng.uniform(1e-4, 0.05)),
        "repetition_penalty": float(rng.uniform(0.7, 1.8)),
        "encoder_repetition_penalty": float(rng.uniform(0.7, 1.8)),
        "no_repeat_ngram_size": int(rng.integers(1, 4)),
        "encoder_no_repeat_ngram_size": int(rng.integers(2, 4)),
        "sequence_bias": [[[ids[0]], 2.5], [[7, ids[1]], -3.0]],
        "bad_words_ids": [[ids[2]], [8, ids[3]], [EOS]],
        "min_new_tokens": int(rng.integers(1, STEPS)),
        "min_length": int(rng.integers(1, STEPS)),
        "exponential_decay_length_penalty": (int(rng.integers(0, 5)), float(rng.uniform(1.01, 1.3))),
        "suppress_tokens": [ids[1]],
        "begin_suppress_tokens": [ids[2]],
        "renormalize_logits": True,
    }
    kept = {name: value for name, value in every.items() if rng.random() < 0.35}
    return {"do_sample": True, **kept}


def test_the_scores_of_every_step_are_those_of_generate(model: Any) -> None:
    rng = np.random.default_rng(11)
    compared = borderline = 0
    for attempt in range(SETS):
        asked = settings(rng)
        prompt = rng.integers(4, VOCAB, int(rng.integers(2, 9))).tolist()
        torch.manual_seed(attempt)
        with torch.no_grad():
            told = model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=STEPS,
                pad_token_id=EOS,
                output_scores=True,
                output_logits=True,
                return_dict_in_generate=True,
                **asked,
            )
        chain = Chain.preset("transformers", eos_token_id=EOS, **asked)
        output = told.sequences[0, len(prompt) :].tolist()
        for step, (logits, scores) in enumerate(zip(told.logits, told.scores, strict=True)):
            context = Context(prompt, output[:step])
            ours = chain.apply(Distribution.dense(logits[0].numpy()), context)
            theirs = Distribution.dense(scores[0].numpy())
            mine, other = ours.support().tolist(), theirs.support().tolist()
            if sorted(mine) != sorted(other):
                borderline += 1  # they sum in float32
                continue
            compared += 1
            gap = np.abs(ours.logprobs_of(other) - theirs.logprobs_of(other))
            assert gap.max() < 2e-5, asked
    assert compared > 0.8 * SETS * STEPS
    assert borderline <= compared // 300, f"{borderline} of {compared} steps differ in support"


def test_without_do_sample_it_is_greedy_and_says_what_is_dropped(model: Any) -> None:
    chain = Chain.preset("transformers", temperature=0.5, top_k=7, repetition_penalty=1.3)
    (note,) = chain.notes
    assert "temperature and top_k" in note
    prompt = [5, 6, 7]
    with torch.no_grad():
        told = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, 3, dtype=torch.long),
            max_new_tokens=STEPS,
            do_sample=False,
            repetition_penalty=1.3,
            pad_token_id=EOS,
            output_logits=True,
            return_dict_in_generate=True,
        )
    output = told.sequences[0, 3:].tolist()
    for step, logits in enumerate(told.logits):
        context = Context(prompt, output[:step])
        dist = Distribution.dense(logits[0].numpy())
        noise = decodekit.Randomness(0).at(step)
        assert chain.step(dist, context, chain.initial(context), noise)[1].token_id == output[step]


def test_the_history_of_its_penalties_and_one_eos_among_bad_words() -> None:
    chain = Chain.preset("transformers", repetition_penalty=1.5, bad_words_ids=[[EOS], [4, 5]], eos_token_id=EOS)
    penalty, words = chain.processors
    assert penalty.scope == "both" and penalty.window is None
    assert words.bad_words == ((4, 5),)


def test_forced_eos_wants_its_length() -> None:
    with pytest.raises(decodekit.ParameterError, match="max_length"):
        Chain.preset("transformers", forced_eos_token_id=EOS)
    chain = Chain.preset("transformers", forced_eos_token_id=EOS, max_length=3)
    assert chain.apply(Distribution.dense(np.zeros(VOCAB)), Context((1, 2))).support().tolist() == [EOS]
