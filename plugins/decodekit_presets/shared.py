"""What the engines share: the bounds of their numbers, and the parts that most of them have."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from decodekit.plugin.presets import Part

__all__ = [
    "GREEDY",
    "MULTINOMIAL",
    "READ",
    "Base",
    "Bias",
    "Count",
    "Exponent",
    "Factor",
    "Length",
    "Multiplier",
    "OpenAIPenalty",
    "Penalty",
    "Probability",
    "Rate",
    "Seed",
    "Surprise",
    "Temperature",
    "Texts",
    "TokenIdTuple",
    "dry",
    "ends_note",
    "listed",
    "no_eos_note",
    "part",
    "penalties",
    "positive",
    "seed_note",
    "top_p",
]

READ = "2026-11"
"""The version of engines whose latest source was read, in November 2026."""

GREEDY: Part = {"name": "greedy"}
MULTINOMIAL: Part = {"name": "multinomial"}

Probability = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=-1, le=10_000_000)]
Length = Annotated[int, Field(ge=0, le=10_000_000)]
Penalty = Annotated[float, Field(ge=-100, le=100)]
OpenAIPenalty = Annotated[float, Field(ge=-2, le=2)]
Factor = Annotated[float, Field(gt=0, le=100)]
Multiplier = Annotated[float, Field(ge=0, le=1000)]
Base = Annotated[float, Field(ge=1, le=100)]
Exponent = Annotated[float, Field(ge=0, le=100)]
Surprise = Annotated[float, Field(gt=0, le=100)]
Rate = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=-1, lt=2**64)]
Bias = Annotated[dict[int | str, float | bool], Field(max_length=100_000)]
TokenIdTuple = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(strict=False, max_length=1_000_000)]
Texts = Annotated[tuple[str, ...], Field(strict=False, max_length=1000)]

_LEAST = 1e-15  # a top_p or typical_p of 0 keeps one token


def part(name: str, value: Any = None, **parameters: Any) -> Part:
    """One processor; ``value`` is its main parameter, which has its own name."""
    main = {} if value is None else {name: value}
    return {"name": name, **main, **parameters}


def positive(share: float) -> float:
    """The share; 0 becomes a tiny one, since engines then keep the one token that crosses it."""
    return max(share, _LEAST)


def top_p(share: float, ties: str, boundary: str = "drop") -> list[Part]:
    """Top-p; no processor from 1 on."""
    return [part("top_p", positive(share), ties=ties, boundary=boundary)] if share < 1 else []


def penalties(repetition: float, frequency: float, presence: float, **where: Any) -> list[Part]:
    """Repetition, then frequency, then presence, over one history; those that change nothing are left out."""
    return [
        *([part("repetition_penalty", repetition, **where)] if repetition != 1 else []),
        *([part("frequency_penalty", frequency, **where)] if frequency != 0 else []),
        *([part("presence_penalty", presence, **where)] if presence != 0 else []),
    ]


def dry(
    multiplier: float, base: float, allowed_length: int, window: int | None, breakers: tuple[str, ...], **also: Any
) -> Part:
    """DRY over prompt and output."""
    return part("dry", multiplier, base=base, allowed_length=allowed_length, window=window, breakers=breakers, **also)


def listed(names: tuple[str, ...] | list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def ends_note(field: str) -> str:
    """The note that the session ends a text; a chain can only ban the end."""
    return f"{field}: a chain cannot end a text; give the ids to the session, with generate(stop_ids=...)"


def no_eos_note(engine: str) -> str:
    """The note on an end-of-text token that does not end the text."""
    return (
        f"ignore_eos: {engine} writes the end-of-text token and goes on; a session ends there. The processor "
        "min_new_tokens bans that token, which is different"
    )


def seed_note(engine: str, seed: int | None) -> list[str]:
    """The note on the seed of an engine whose draws cannot be replayed."""
    if seed is None or seed < 0:
        return []
    return [f"seed: {engine}'s own random numbers cannot be replayed here; give a seed to the session instead"]
