"""Helpers of the checks of processors and samplers: distributions to run on, and values to compare."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from decodekit.chain.link import link_of
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import PROCESSORS, Randomness, derive
from decodekit.errors import DecodekitError, ParameterError
from decodekit.plugin import FunctionPlugin, parameter_model, registry
from decodekit.testing.tokenizers import PiecesTokenizer
from decodekit.text.tokenizer import Tokenizer
from decodekit.types import Floats

__all__ = [
    "MOST_QUESTIONS",
    "Declared",
    "all_logprobs",
    "check_parameters",
    "context",
    "contexts_of",
    "disclosed",
    "distributions",
    "global_chance",
    "value_of",
]

MOST_QUESTIONS = 12


def distributions(rng: np.random.Generator) -> Iterator[Distribution]:
    """Complete distributions of every shape that a processor may get."""
    yield Distribution.dense([0.3, -0.2])
    yield Distribution.dense([-math.inf, 1.5])
    yield Distribution.dense([-math.inf, -math.inf, 7.0, -math.inf])
    yield Distribution.dense([1.0, 1.0, 1.0, 0.0, 0.0, -1.0])
    yield Distribution.dense(rng.normal(size=9) * 2)
    yield Distribution.dense(rng.normal(size=9) * 2 + 700)
    yield Distribution.dense(rng.normal(size=9) * 2000)
    yield Distribution.dense(rng.normal(size=33).astype(np.float32) * 3 - 20)
    masked = rng.normal(size=50) * 3
    masked[rng.permutation(50)[:25]] = -math.inf
    yield Distribution.dense(masked)
    yield Distribution.dense(rng.normal(size=60) * 2).scaled(0.7)
    yield Distribution.dense(rng.normal(size=120) * 2).keep([3, 5, 7, 20, 119])
    yield Distribution.dense(rng.normal(size=120) * 2).top(1)
    peaked = rng.normal(size=257)
    peaked[100] = 30.0
    yield Distribution.dense(peaked)
    yield Distribution.dense(rng.normal(size=3000).astype(np.float32) * 3)
    yield Distribution.dense(np.zeros(3000))


def contexts_of(dist: Distribution, name: str, seed: int) -> Iterator[Context]:
    """A few contexts that fit a distribution, from a prompt alone to repeated tokens."""
    size = dist.vocab_size or int(dist.support().max()) + 1
    for prompt, output in (([0], []), ([0, 1], [1]), ([1, 0, 1], [0, 0, size - 1, 0])):
        yield context(prompt, output, name, seed, tokenizer_of(size))


def context(
    prompt: Sequence[int], output: Sequence[int], name: str, seed: int, tokenizer: Tokenizer | None = None
) -> Context:
    """A context with the noise of a processor of this name."""
    rng = Randomness(seed).at(len(output), PROCESSORS, derive(0, name, 0))
    return Context(TokenIds(prompt), TokenIds(output), tokenizer, rng=rng)


@lru_cache(maxsize=32)
def tokenizer_of(size: int) -> PiecesTokenizer:
    """A tokenizer for a vocabulary of this size: letters, other bytes, and pairs of bytes. It has no end of text."""
    letters = b"etaoinshrdlu ETAOINSHRDLU.,\n"
    alone = [bytes([each]) for each in dict.fromkeys([*letters, *range(256)])]
    return PiecesTokenizer([alone[i] if i < 256 else alone[i // 256 % 256] + alone[i % 256] for i in range(size)])


class Declared:
    """A plugin and what it declares."""

    def __init__(self, call: Any) -> None:
        try:
            link = link_of(call, {})
        except ParameterError as error:
            raise AssertionError(str(error)) from None
        self.call = call
        self.name, traits = link.name, link.traits
        self.stateful = traits.stateful
        self.pure = traits.pure
        self.needs_logits = traits.needs_logits
        self.revives = traits.revives
        self.argmax_invariant = traits.argmax_invariant
        self.truncates = traits.truncates
        self.looks_back = traits.looks_back

    def initial(self, ctx: Context) -> Any:
        return self.called(self.call.initial, ctx) if self.stateful else None

    def advance(self, state: Any, choice: Choice, ctx: Context, before: Distribution) -> Any:
        extra = (before,) if self.looks_back else ()
        later = self.called(self.call.advance, state, choice, ctx, *extra)
        assert later is not None or state is None, (
            f"{self.name}: its advance returned None in place of a state; end it with: return the next state"
        )
        return later

    def called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What it returns. Raises `AssertionError` for an error that is none of decodekit's."""
        try:
            return function(*arguments)
        except DecodekitError:
            raise
        except Exception as error:
            raise AssertionError(f"{self.name} raised {error!r} on {arguments[0]!r}") from error


def check_parameters(plugin: Any) -> None:
    """Every number among a plugin's parameters has a least and a greatest value."""
    target = plugin.function if isinstance(plugin, FunctionPlugin) else type(plugin)
    if not isinstance(plugin, FunctionPlugin) and not hasattr(target, "model_fields"):
        return
    schema = parameter_model(target).model_json_schema()
    unbounded = sorted(set(_unbounded(schema.get("properties", {}), schema.get("$defs", {}), "")))
    assert not unbounded, (
        f"{registry.name_of(plugin)}: give these parameters a least and a greatest value: {', '.join(unbounded)}"
    )


def _unbounded(schema: Any, definitions: Mapping[str, Any], where: str) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _unbounded(item, definitions, where)
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from _unbounded(definitions.get(schema["$ref"].rpartition("/")[2]), {}, where)
    if schema.get("type") in ("number", "integer") and not {"enum", "const"} & schema.keys():
        low, high = {"minimum", "exclusiveMinimum"} & schema.keys(), {"maximum", "exclusiveMaximum"} & schema.keys()
        if not low or not high:
            yield where
    for key, value in schema.items():
        if key in ("properties", "$defs", "default", "examples", "enum"):
            if key == "properties":
                for name, inner in value.items():
                    yield from _unbounded(inner, definitions, f"{where}.{name}".strip("."))
            continue
        inside = key in ("anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties", "patternProperties")
        yield from _unbounded(value, definitions, where if inside else f"{where}.{key}".strip("."))


def all_logprobs(dist: Distribution) -> Floats:
    """float64[V] in id order, whatever the shape of the distribution."""
    assert dist.vocab_size is not None
    row = np.full(dist.vocab_size, -math.inf)
    ids = dist.support()
    row[ids] = dist.logprobs_of(ids)
    return row


def disclosed(whole: Distribution, need: Disclosure, *, summed: bool = False) -> Distribution:
    """The answer to ``need`` of an adapter that has the whole distribution.

    ``summed``: it states the entropy and the number of tokens that have probability, as a record of a step does.
    """
    if need.kind == "all":
        return whole
    leading, logprobs = whole.leading(need.top or 1)
    ids = np.union1d(leading, np.array(need.ids, dtype=np.int64))
    if whole.vocab_size is not None and len(ids) >= whole.vocab_size:
        return whole
    entropy, support = (whole.entropy, whole.support_size) if summed else (None, None)
    return Distribution.head(
        ids,
        whole.logprobs_of(ids),
        whole.vocab_size,
        max_hidden=float(logprobs.min()),
        entropy=entropy,
        support=support,
    )


def value_of(thing: Any) -> Any:
    """The content of an object as plain values that ``==`` compares bit by bit, so that any change is detected."""
    if isinstance(thing, Distribution):
        ids = thing.token_ids
        return (
            "distribution", thing.vocab_size, thing.origin, thing.row.values.dtype.name, thing.row.values.tobytes(),
            thing.row.scale, None if ids is None else ids.tobytes(), thing.hidden,
        )  # fmt: skip
    if isinstance(thing, DecodekitError):
        return type(thing), str(thing)
    if isinstance(thing, Context):
        return tuple(thing.prompt_ids), tuple(thing.output_ids), value_of(dict(thing.metadata)), thing.rng
    if isinstance(thing, np.ndarray):
        return thing.dtype.str, thing.shape, thing.tobytes()
    if isinstance(thing, Mapping):
        return "mapping", [(value_of(key), value_of(value)) for key, value in thing.items()]
    if isinstance(thing, list | tuple):
        return type(thing).__name__, [value_of(item) for item in thing]
    if isinstance(thing, set | frozenset):
        return "set", sorted(map(repr, thing))
    if is_dataclass(thing) and not isinstance(thing, type):
        return type(thing).__name__, [value_of(getattr(thing, item.name)) for item in fields(thing)]
    anonymous = getattr(type(thing), "__repr__", None) is object.__repr__  # it would show an address
    if anonymous and hasattr(thing, "__dict__") and not inspect.isroutine(thing):
        return type(thing).__name__, value_of(vars(thing))
    return repr(thing)


def global_chance() -> tuple[Any, Any]:
    """The states of the process-wide random generators, which a plugin must not use."""
    return random.getstate(), value_of(np.random.get_state())
