"""What all presets share: names, refusals, defaults, and the two tables in which the engines differ."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution, ParameterError
from decodekit.config import load_config
from decodekit.plugin.presets import Preset, names_of, read_recipe
from decodekit.plugin.registry import load, plugins

NAMES = [info.name for info in plugins() if info.group == "presets"]
HOT = {"temperature": 1.5}
SAMPLED = {
    "transformers": {"do_sample": True, "temperature": 1.0, "top_k": 0},
    "mlx-lm": {"temp": 1.0},
    "llama.cpp": {"temp": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    "llama-cpp-python": {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    "koboldcpp": {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
}


def test_the_engines_are_there() -> None:
    assert (
        sorted(
            [
                *(
                    "exllamav3",
                    "koboldcpp",
                    "llama-cpp-python",
                    "llama.cpp",
                    "mlx-lm",
                    "openai",
                    "sglang",
                    "text-generation-webui",
                ),
                *("tgi", "transformers", "vllm"),
            ]
        )
        == NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_keeps_the_rules_of_parameters(name: str) -> None:
    model, _ = load("presets", name)
    assert issubclass(model, Preset) and model.versions
    assert all(field in model.model_fields for field in model.aliases.values())
    assert not set(model.aliases) & set(model.model_fields)
    for field, rule in model.model_json_schema()["properties"].items():
        for kind in (rule, *rule.get("anyOf", ())):
            if kind.get("type") in ("number", "integer") and not {"enum", "const"} & set(kind):
                low, high = {"minimum", "exclusiveMinimum"} & set(kind), {"maximum", "exclusiveMaximum"} & set(kind)
                assert low and high, field
    for version in model.versions:
        assert Chain.preset(name, version).notes == ()


LEFT_BY_THREE = {
    **dict.fromkeys(("llama.cpp", "llama-cpp-python", "koboldcpp", "mlx-lm", "exllamav3"), (0, 1, 2)),
    **dict.fromkeys(("transformers", "vllm", "sglang", "text-generation-webui"), (0, 1, 2, 3)),
}


@pytest.mark.parametrize("name", LEFT_BY_THREE)
def test_one_set_of_numbers_leaves_other_tokens_in_other_engines(name: str) -> None:
    asked: dict[str, Any] = {"top_p": 0.9, "min_p": 0.2, **({"do_sample": True} if name == "transformers" else {})}
    after = Chain.preset(name, **asked, **HOT).apply(Distribution.dense([3, 2.5, 2, 1, 0]), Context())
    assert tuple(sorted(after.support().tolist())) == LEFT_BY_THREE[name]
    shares = [0.448, 0.321, 0.230] if len(LEFT_BY_THREE[name]) == 3 else [0.401, 0.287, 0.206, 0.106]
    np.testing.assert_allclose(np.exp(after.logprobs_of(range(len(shares)))), shares, atol=6e-4)


FLAT = np.zeros(4)
HALF = np.log([0.5, 0.25, 0.25])
TIES = {  # recorded: transformers, mlx-lm and llama.cpp were run, the others transcribed from their sources
    "transformers": ([2, 3], [3], [0], [0, 1, 2]),
    "vllm": ([2, 3], [3], [0], [0, 1, 2]),
    "sglang": ([0, 1, 2], [0, 1], [0, 1], [0]),
    "exllamav3": ([0, 1], [0], [0], [0]),
    "mlx-lm": ([0, 1, 2, 3], [0, 1, 2, 3], [0], [0]),
    "llama.cpp": ([0, 1], [0], [0], [0]),
}


@pytest.mark.parametrize("name", TIES)
def test_equals_at_an_edge_are_as_the_engine_has_them(name: str) -> None:
    also = {"sglang": {"sampling_backend": "pytorch"}, "exllamav3": {"fused": False}}.get(name, {})

    def left(row: Any, **asked: Any) -> list[int]:
        given = {**SAMPLED.get(name, {}), **also, **asked}
        return sorted(Chain.preset(name, **given).apply(Distribution.dense(row), Context()).support().tolist())

    cases = (left(FLAT, top_p=0.5), left(FLAT, top_p=0.25), left(HALF, top_p=0.5))
    assert cases == TIES[name][:3]
    if name not in ("sglang", "exllamav3"):  # a top_k of 1 is greedy there
        assert left([1, 1, 1, 0], top_k=1) == TIES[name][3]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("llama.cpp", {"temprature": 1.0}), "did you mean 'temperature'"),
        (("llama.cpp", {"repeat_penalti": 1.1}), "did you mean 'repeat_penalty'"),
        (
            ("vllm", {"dry_multiplier": 0.8}),
            "vllm has no 'dry_multiplier'; koboldcpp, llama.cpp, text-generation-webui",
        ),
        (("tgi", {"min_p": 0.1}), "tgi has no 'min_p'"),
        (("llama.cpp", {"temp": 1.0, "temperature": 1.0}), "'temp' and 'temperature' are one parameter"),
        (("llama.cpp", {"max_tokens": 5}), "generate(max_tokens=...)"),
        (("vllm", {"top_p": 1.5}), "top_p: must be less than or equal to 1"),
        (("vllm", {"temperature": 3.0}), "temperature"),
        (("vllm", {"top_k": True}), "top_k"),
        (("transformers", {"temperature": 0.0}), "temperature"),
        (("tgi", {"frequency_penalty": 0.5}), "two formulas"),
        (("transformers", {"sequence_bias": [3]}), "pairs token ids"),
        (("koboldcpp", {"sampler_order": [0, 0]}), "give each stage once"),
        (("text-generation-webui", {"sampler_priority": ["heat"]}), "no sampler 'heat'"),
    ],
    ids=str,
)
def test_what_an_engine_does_not_have_is_refused(call: tuple[str, dict[str, Any]], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Chain.preset(call[0], **call[1])
    assert said in str(caught.value)


def test_unknown_names_and_versions_are_refused_with_those_there_are() -> None:
    with pytest.raises(decodekit.UnknownPlugin, match=r"did you mean 'llama\.cpp'"):
        Chain.preset("lama.cpp")
    with pytest.raises(ParameterError, match=r"no version '0\.8' is known, only mrv2 and v1"):
        Chain.preset("vllm", "0.8")


def test_dashes_and_none_are_what_people_paste() -> None:
    dashed = Chain.preset("llama.cpp", **{"top-k": 7, "repeat-penalty": 1.1, "min-p": None})
    assert dashed.describe() == Chain.preset("llama.cpp", top_k=7, repeat_penalty=1.1).describe()
    assert "typical" in names_of("llama.cpp") and names_of("llama.cpp")["typical"] == "typ_p"


def test_what_is_dropped_is_noted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "decodekit"):
        chain = Chain.preset("llama.cpp", mirostat=2, top_k=5)
    (record,) = caplog.records
    assert (record.event, record.levelname) == ("preset_note", "WARNING")
    assert (record.preset, record.note) == ("llama.cpp", *chain.notes)


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("vllm", {"temperature": 0.0, "top_p": 0.5}, "greedy and resets top_p"),
        ("vllm", {"temperature": 0.001}, "raises it to 0.01"),
        ("vllm", {"logit_bias": {3: 300.0}}, "clips"),
        ("vllm", {"seed": 4}, "cannot be replayed"),
        ("mlx-lm", {"top_p": 0.5}, "at 0 mlx-lm is greedy; dropped: top_p"),
        ("koboldcpp", {"mirostat": 1, "tfs": 0.9}, "drops tfs"),
        ("exllamav3", {"temperature": 0.0, "adaptive_target": 0.5}, "dropped: adaptive_target"),
        ("text-generation-webui", {"mirostat_mode": 1}, "only 2"),
        ("text-generation-webui", {"do_sample": False, "top_p": 0.5}, "transformers drops top_p"),
        ("text-generation-webui", {"mirostat_mode": 2, "no_repeat_ngram_size": 2}, "after mirostat has drawn"),
        ("text-generation-webui", {"adaptive_target": 0.5, "encoder_repetition_penalty": 1.2}, "changes nothing"),
        ("transformers", {"min_new_tokens": 5, "min_length": 9}, "min_new_tokens takes precedence"),
        ("transformers", {"eos_token_id": 5}, "stop_ids"),
        ("vllm", {"stop_token_ids": [5], "min_tokens": 0}, "stop_ids"),
        ("vllm", {"min_tokens": 6}, "stop strings"),
        ("vllm", {"ignore_eos": True}, "goes on"),
        ("sglang", {"stop_token_ids": [5]}, "stop_ids"),
        ("sglang", {"ignore_eos": True}, "goes on"),
        ("koboldcpp", {"dynatemp_exponent": 2.0}, "changes nothing"),
        ("koboldcpp", {"top_k": 5000}, "top_k: koboldcpp keeps the 3000 most likely"),
        ("text-generation-webui", {"dynamic_temperature": True}, "it does nothing while dynatemp_low"),
        ("exllamav3", {"adaptive_target": 0.5, "fused": True}, "fused: exllamav3 has no fused sampler"),
        ("transformers", {"max_length": 9}, "max_length: the limit on a text is generate"),
        ("transformers", {"max_length": 9, "forced_eos_token_id": 5}, "prompt is neither ended nor refused"),
    ],
    ids=str,
)
def test_what_each_engine_drops_is_noted(name: str, asked: dict[str, Any], said: str) -> None:
    (note,) = Chain.preset(name, **asked).notes
    assert said in note


def test_a_minimum_beyond_the_maximum_is_noted() -> None:
    length, minimum = Chain.preset("transformers", max_length=9, min_length=9, forced_eos_token_id=5).notes
    assert "max_length" in length and "min_length: transformers ends at max_length even so" in minimum


def test_the_scopes_of_the_penalties() -> None:
    def scopes(name: str, **asked: Any) -> list[tuple[str, int | None]]:
        return [(part.scope, part.window) for part in Chain.preset(name, **asked).processors[: len(asked)]]

    assert scopes("llama.cpp", repeat_penalty=1.1, presence_penalty=0.1) == [("both", 64)] * 2
    assert scopes("llama-cpp-python", repeat_penalty=1.1, presence_penalty=0.1) == [("output", 64)] * 2
    assert scopes("vllm", repetition_penalty=1.1, presence_penalty=0.1) == [("both", None), ("output", None)]
    assert scopes("sglang", repetition_penalty=1.1, presence_penalty=0.1) == [("output", None)] * 2
    assert scopes("mlx-lm", repetition_penalty=1.1, presence_penalty=0.1) == [("both", 20)] * 2


def test_vllms_two_runners_order_bias_and_bad_words_otherwise() -> None:
    asked = {"logit_bias": {3: 1.0}, "repetition_penalty": 1.2, "bad_words": ["x"], "allowed_token_ids": [1, 3]}
    orders = {v: [part["name"] for part in read_recipe("vllm", v, asked).parts] for v in ("v1", "mrv2")}
    assert orders["v1"] == ["allowed_tokens", "vllm_bad_words", "logit_bias", "repetition_penalty"]
    assert orders["mrv2"] == ["allowed_tokens", "logit_bias", "repetition_penalty", "vllm_bad_words"]


def test_sglang_judges_both_cuts_by_the_same_probabilities_unless_min_p_is_there() -> None:
    def left(**asked: Any) -> list[int]:
        chain = Chain.preset("sglang", top_k=2, top_p=0.55, **asked)
        return sorted(chain.apply(Distribution.dense(np.log([0.4, 0.3, 0.2, 0.1])), Context()).support().tolist())

    assert left() == [0, 1] == left(min_p=0.01, sampling_backend="pytorch")
    assert left(min_p=0.01) == [0]  # 0.4 of 0.7 is more than 0.55


def test_a_preset_in_a_config_is_written_out() -> None:
    data: dict[str, Any] = {
        "adapter": {"type": "llamacpp"},
        "chain": {
            "preset": "llama.cpp",
            "parameters": {"seed": 4, "mirostat": 2, "top_k": 3, "logit_bias": {"7": 1.0}},
        },
    }
    config = load_config(data)
    chain = config.build_chain()
    assert chain.describe()["sampler"]["params"]["llamacpp_dist"] == 4 and "top_k" in chain.notes[0]
    again = load_config(config.as_data()).build_chain()
    assert again.describe() == chain.describe()
    assert load_config({**data, "sampler": {"name": "greedy"}}).sampler.name == "greedy"
    with pytest.raises(decodekit.ConfigError, match="did you mean 'preset'"):
        load_config({**data, "chain": {"presett": "vllm"}})
    assert math.isclose(Chain.preset("text-generation-webui", eta_cutoff=3.0).processors[0].eta_cutoff, 3e-4)
