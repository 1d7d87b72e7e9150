"""No setting of a preset is dropped in silence: it changes the chain, or a note names it, or it is refused."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from decodekit import ParameterError
from decodekit.plugin.presets import Preset, read_recipe
from decodekit.plugin.registry import load, plugins

PRESETS = {info.name: load("presets", info.name)[0] for info in plugins() if info.group == "presets"}

# What turns a group of settings on, so that its other settings are not idle there.
SWITCHES: dict[str, list[dict[str, Any]]] = {
    "llama.cpp": [
        *({"mirostat": 2}, {"dynatemp_range": 0.5}, {"dry_multiplier": 0.8}, {"xtc_probability": 0.5}),
        *({"repeat_penalty": 1.2}, {"samplers": "kpma", "adaptive_target": 0.5}),
    ],
    "llama-cpp-python": [{"mirostat_mode": 1}, {"repeat_penalty": 1.2}],
    "transformers": [{"do_sample": True}, {"min_new_tokens": 3}, {"forced_eos_token_id": 2, "max_length": 9}],
    "vllm": [{"min_tokens": 4}, {"temperature": 0.0}],
    "sglang": [{"min_new_tokens": 4}, {"temperature": 0.0}],
    "exllamav3": [
        {"rep_p": 1.2, "rep_sustain_range": 9},
        {"adaptive_target": 0.5},
        {"temperature": 0.5},
        {"top_p": 0.5},
    ],
    "koboldcpp": [
        *({"mirostat": 2}, {"dynatemp_range": 0.5}, {"dry_multiplier": 0.8}, {"xtc_probability": 0.5}),
        *({"rep_pen": 1.2}, {"smoothing_factor": 0.5}, {"adaptive_target": 0.5}, {"sampler_order": [5, 6]}),
    ],
    "text-generation-webui": [
        *({"mirostat_mode": 2}, {"dynamic_temperature": True}, {"dry_multiplier": 0.8}, {"xtc_probability": 0.5}),
        *({"repetition_penalty": 1.2}, {"smoothing_factor": 0.5}, {"adaptive_target": 0.5}, {"do_sample": False}),
        {"temperature_last": True, "temperature": 0.5, "top_k": 5},
    ],
    "mlx-lm": [
        {"temp": 0.7},
        {"temp": 0.7, "xtc_probability": 0.5},
        {"repetition_penalty": 1.2},
        {"min_p": 0.1, "temp": 1.0},
    ],
    "openai": [{"temperature": 0.0}],
    "tgi": [{"do_sample": True}, {"temperature": 0.5}],
}
SPECIAL: dict[str, list[Any]] = {
    "sequence_bias": [[[[3], 1.0]]],
    "bad_words_ids": [[[3, 4]]],
    "bad_words": [["x"]],
    "dry_sequence_breakers": [["x"]],
    "exponential_decay_length_penalty": [(2, 1.5)],
    "sampler_order": [[5, 6]],
    "samplers": ["top_k;temperature"],
    "sampler_priority": ["top_k\ntemperature"],
    "logit_bias": [{3: 1.0}],
    "sampling_backend": ["pytorch"],
}


def others(model: type[Preset], field: str) -> list[Any]:
    """Three values, or fewer, that the field takes and that are not its default."""
    if field in SPECIAL:
        return SPECIAL[field]
    default = model.model_fields[field].default
    tried: list[Any] = [True, False, *range(-1, 6), 50, 0.25, 0.3, 0.75, 1.5, 3.0, (5,)]
    tried += [choice for choice in get_args(model.model_fields[field].annotation) if isinstance(choice, int | str)]
    found: list[Any] = []
    for value in tried:
        if type(value) is type(default) and value == default:
            continue
        try:
            taken = getattr(model(**{field: value}), field)
        except ValueError:
            continue
        if taken != default and all(taken != other for other in found):
            found.append(taken)
    return [*found[:2], *found[-1:]][:3]


SETTINGS = [(name, field) for name, model in PRESETS.items() for field in model.model_fields]


@pytest.mark.parametrize(("name", "field"), SETTINGS)
def test_a_setting_is_obeyed_or_noted_or_refused(name: str, field: str) -> None:
    model = PRESETS[name]
    values = others(model, field)
    assert values, f"no other value was found for {field}"
    for value in values:
        for switch in [{}, *SWITCHES[name]]:
            if field in switch:
                continue
            try:
                recipe = read_recipe(name, None, {**switch, field: value})
            except ParameterError as error:
                if field not in str(error):
                    raise
                continue
            noted = any(re.search(rf"\b{field}\b", note) for note in recipe.notes)
            plain = read_recipe(name, None, switch)
            changed = (recipe.parts, recipe.sampler) != (plain.parts, plain.sampler)
            assert noted or changed or field in model.implied, (switch, value, recipe.notes)


def test_each_switch_is_one() -> None:
    for name, switches in SWITCHES.items():
        for switch in switches:
            assert read_recipe(name, None, switch) != read_recipe(name)
