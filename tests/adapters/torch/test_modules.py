"""Functions and modules from Python as models, and those that are no causal language models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from decodekit import Prefix, Session, processor, verify
from decodekit.distribution.disclosure import ALL
from decodekit.errors import AdapterError, ConfigError, ParameterError
from decodekit.testing import check_adapter
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import tiny
from tests.plugins.grammar.models import SIZE, tokenizer


def bigram(ids: Any) -> Any:
    """Logits that depend on the last two ids."""
    before = torch.nn.functional.pad(ids, (1, 0))[:, :-1]
    table = torch.arange(11 * 11 * 11, dtype=torch.float32).reshape(11, 11, 11).sin()
    return table[before, ids]


@pytest.mark.parametrize("function", [bigram, lambda ids: bigram(ids)[:, -1]])
def test_a_bare_function_is_a_model(function: Callable[..., Any]) -> None:
    check_adapter(lambda: TorchAdapter(model=function, n_ctx=100), lengths=(64,))
    (answer,) = TorchAdapter(model=function).predict([Prefix([3, 4])])
    assert np.array_equal(answer.scores, bigram(torch.tensor([[3, 4]]))[0, -1].numpy())  # type: ignore[union-attr]


def test_prefixes_of_one_length_share_a_pass_even_without_a_cache() -> None:
    shapes: list[tuple[int, ...]] = []

    def counting(ids: Any) -> Any:
        shapes.append(tuple(ids.shape))
        return bigram(ids)

    adapter = TorchAdapter(model=counting, stochastic=False)
    shapes.clear()
    adapter.predict([Prefix([1, 2]), Prefix([2, 2, 3, 4, 5, 6, 7, 8]), Prefix([3, 4])])
    assert sorted(shapes) == [(1, 8), (2, 2)]


def test_a_bare_module_is_a_model_with_a_fingerprint() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Embedding(50, 16), torch.nn.Linear(16, 50))
    check_adapter(lambda: TorchAdapter(model=module), exact=False, tolerance=1e-5, lengths=(64,))
    before = TorchAdapter(model=module).info.model_fingerprint
    with torch.no_grad():
        module[1].bias[3] += 1
    assert before.startswith("sha256:") and TorchAdapter(model=module).info.model_fingerprint != before


def test_no_transformers_is_needed_for_a_function() -> None:
    program = (
        "import sys; sys.modules['transformers'] = sys.modules['tokenizers'] = None\n"
        "import torch; from decodekit import Prefix; from decodekit_torch import TorchAdapter\n"
        "print(TorchAdapter(model=lambda ids: torch.eye(5)[ids]).predict([Prefix([3])])[0].mode)\n"
        "from decodekit.errors import ConfigError\n"
        "try: TorchAdapter(model='smollm2')\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3\n") and "pip install 'decodekit[torch]'" in done.stdout


def test_without_torch_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules['torch'] = None\ntry: import decodekit_torch\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'decodekit[torch]'" in done.stdout


def test_a_distribution_never_aliases_a_buffer_that_is_written_again() -> None:
    buffer = torch.zeros(1, 7)

    def reusing(ids: Any) -> Any:
        buffer[0] = ids[0, -1]
        buffer[0, 2] += 1
        return buffer[: len(ids)]

    for head in (None, 2):
        adapter = TorchAdapter(model=reusing, tokens_per_forward=1, head=head, stochastic=False)
        first, _ = adapter.predict([Prefix([3]), Prefix([5])], ALL)
        adapter.predict([Prefix([6])], ALL)
        assert first.scores.tolist() == [3, 3, 4, 3, 3, 3, 3]  # type: ignore[union-attr]


@pytest.mark.parametrize("function", [lambda _: torch.zeros(7), lambda _: torch.zeros(1, 9, 7), lambda _: "logits"])
def test_a_function_of_another_shape_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(AdapterError, match="logits"):
        TorchAdapter(model=function)


@pytest.mark.parametrize(
    "params",
    [{"n_ctx": 0}, {"max_sequences": 0}, {"cells": 0}, {"tokens_per_forward": 0}, {"dtype": "int8"}, {"model": 3},
     {"tokenizer": "x"}, {"device": "nowhere"}, {"attn_implementation": "eager"}, {"allow_downloads": 1}],
)  # fmt: skip
def test_parameters_out_of_range_are_refused_by_name(params: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(params))):
        TorchAdapter(**{"model": bigram, **params})


def test_a_tokenizer_larger_than_the_model_is_refused() -> None:
    from decodekit.testing.tokenizers import BytesTokenizer

    with pytest.raises(ConfigError, match="do not belong together"):
        TorchAdapter(model=bigram, tokenizer=BytesTokenizer())


# -- what is no causal language model ----------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"vocab_size": 50, "d_model": 16, "pad_token_id": 0, "eos_token_id": 1}
LAYERS: dict[str, Any] = {
    "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_start_token_id": 0,
}  # fmt: skip


def encoder_decoder(kind: str, **more: Any) -> Any:
    """A tiny one with random weights."""
    settings = {**SMALL, **more}
    if kind == "T5":
        config = transformers.T5Config(**settings, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
        return transformers.T5ForConditionalGeneration(config).eval()
    if kind == "Bart":
        return transformers.BartForConditionalGeneration(transformers.BartConfig(**settings, **LAYERS)).eval()
    return transformers.MarianMTModel(transformers.MarianConfig(**settings, **LAYERS)).eval()


def seeded(make: Callable[..., Any], *args: Any, **more: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(*args, **more)


def decoder_of(model: Any, source: Any) -> Callable[[Any], Any]:
    """The decoder for this source text, as a function from ids to logits."""
    with torch.no_grad():
        encoded = model.get_encoder()(source).last_hidden_state
    return lambda ids: model(encoder_outputs=(encoded.expand(len(ids), -1, -1),), decoder_input_ids=ids).logits


@pytest.mark.parametrize("kind", ["T5", "Bart", "Marian"])
def test_an_encoder_decoder_is_refused_and_a_function_of_its_decoder_is_a_model(kind: str) -> None:
    model = seeded(encoder_decoder, kind)
    with pytest.raises(ParameterError, match=r"model: \w+ is an encoder-decoder"):
        TorchAdapter(model=model)
    source = torch.tensor([[5, 6, 7, 1]])
    decoder = decoder_of(model, source)

    check_adapter(lambda: TorchAdapter(model=decoder), exact=False, tolerance=1e-4, lengths=(16,), many=6, rounds=3)
    (answer,) = TorchAdapter(model=decoder).predict([Prefix([0, 9])])
    with torch.no_grad():
        logits = model(input_ids=source, decoder_input_ids=torch.tensor([[0, 9]])).logits[0, -1]
    expected = torch.log_softmax(logits.double(), -1).numpy()
    assert np.abs(answer.logprobs - expected).max() < 1e-5  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["T5", "Bart"])
def test_a_constraint_holds_on_an_encoder_decoder(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("llguidance")
    model = seeded(encoder_decoder, kind, vocab_size=SIZE + 5)  # a padded vocabulary
    adapter = TorchAdapter(model=decoder_of(model, torch.tensor([[5, 6, 7, 1]])), tokenizer=tokenizer())
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "on": {"type": "boolean"}},
        "required": ["mood", "on"],
        "additionalProperties": False,
    }
    for name, value in (("json_schema", schema), ("choice", ["yes", "no", "yes sir"])):
        for forcing in ("canonical", "free"):
            part, path = processor(name, **{name: value}, forcing=forcing), tmp_path / f"{name}-{forcing}.jsonl"
            session = Session(adapter, seed=3)
            result = session.generate([0], schema=part, max_tokens=200, trace=path, level="full")
            assert result.complete, result.text
            assert result.text in value if name == "choice" else result.parsed["mood"] in ("good", "bad")
            assert verify(path, chain=True, tokenizer=adapter.tokenizer).word == "reproduced"


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertLMHeadModel"])
def test_a_model_that_looks_ahead_is_refused(name: str) -> None:
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, name)(config).eval()
    with pytest.raises(ParameterError, match="not a causal language model"):
        TorchAdapter(model=model)


def test_a_function_that_looks_ahead_is_refused() -> None:
    with pytest.raises(ParameterError, match="not a causal language model"):
        TorchAdapter(model=lambda ids: bigram(ids.flip(1)).flip(1))


def test_a_model_without_logits_is_refused() -> None:
    with pytest.raises(AdapterError, match="LlamaModel gives no logits"):
        TorchAdapter(model=tiny("Llama").model)
