"""The programs behind an API, for answers that the server draws: their sampling parameters and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from decodekit.chain import Chain
from decodekit.chain.inverse import in_terms_of
from decodekit.errors import ParameterError

__all__ = ["ENGINES", "Engine", "EngineName", "engine_of", "program_named"]

EngineName = Literal["openai", "vllm", "sglang", "llama.cpp", "llama-cpp-python"]


@dataclass(frozen=True, slots=True)
class Engine:
    """The sampling parameters of one program, which are those of its preset.

    Args:
        preset: the preset.
        off: the values with which the program changes nothing. They are always sent: its own defaults may cut.
        spelling: names in a request that are not those of the preset.
        window: see `decodekit.chain.inverse.in_terms_of`.
        order: likewise.
    """

    preset: str
    off: Mapping[str, Any]
    spelling: Mapping[str, str] = field(default_factory=dict)
    window: str = ""
    order: Mapping[str, str] | None = None

    def settings(self, chain: Chain, called: str = "") -> tuple[dict[str, Any], tuple[str, ...]]:
        """The parameters of a request that have the law of this chain, and notes; ``called`` is for messages.

        Raises:
            ParameterError: there are none.
        """
        translated = in_terms_of(self.preset, chain, off=self.off, window=self.window, order=self.order, called=called)
        settings = {self.spelling.get(name, name): value for name, value in translated.parameters.items()}
        if settings.get("logit_bias"):
            settings["logit_bias"] = {str(token): _number(bias) for token, bias in settings["logit_bias"].items()}
        return settings, translated.notes

    def neutral(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of the settings that change nothing: a model that does not take them has the same law without them."""
        names = {self.spelling.get(name, name): value for name, value in self.off.items()}
        return tuple(name for name, value in names.items() if settings.get(name) == value)


def _number(bias: float | bool) -> float:
    if isinstance(bias, bool):
        raise ParameterError(
            "sampler 'provider': logit_bias = false bans a token, and an API takes numbers only: -100 comes near it"
        )
    return bias


_OPEN = {"temperature": 1.0, "top_p": 1.0, "min_p": 0.0}

ENGINES: Mapping[EngineName, Engine] = {
    "openai": Engine("openai", {"temperature": 1.0, "top_p": 1.0}),
    "vllm": Engine("vllm", {**_OPEN, "top_k": 0, "repetition_penalty": 1.0}),
    "sglang": Engine("sglang", {**_OPEN, "top_k": -1, "repetition_penalty": 1.0}),
    "llama.cpp": Engine(
        "llama.cpp",
        {  # the samplers that are not among these are switched off by the list of samplers, which is always sent
            "temp": 1.0,
            "dynatemp_range": 0.0,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "min_keep": 0,
            "typ_p": 1.0,
            "repeat_penalty": 1.0,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "mirostat": 0,
            "logit_bias": {},
            "ignore_eos": False,
        },
        spelling={"temp": "temperature", "typ_p": "typical_p"},
        window="repeat_last_n",
        order={
            **dict.fromkeys(("repetition_penalty", "frequency_penalty", "presence_penalty"), "penalties"),
            **{name: name for name in ("top_n_sigma", "top_k", "top_p", "min_p", "xtc", "temperature")},
            "typical_p": "typ_p",
        },
    ),
    "llama-cpp-python": Engine("llama-cpp-python", {**_OPEN, "top_k": 0, "repeat_penalty": 1.0}),
}

_OWNERS: Mapping[str, EngineName] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "me": "llama-cpp-python",
}


def engine_of(named: EngineName | Literal["auto"], owner: str) -> tuple[EngineName, str]:
    """The name of the engine of a server, and how it is known.

    Args:
        named: the user's setting.
        owner: the ``owned_by`` of the server's model.
    """
    if named != "auto":
        return named, "given"
    if owner in _OWNERS:
        return _OWNERS[owner], "named by the server"
    return "openai", "assumed"


def program_named(owner: str) -> EngineName | None:
    """The program that the ``owned_by`` of a server's model names, whose defaults are its operator's; None for none."""
    return _OWNERS.get(owner)
