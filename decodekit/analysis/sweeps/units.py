"""What a sweep makes: one unit is one sample of one prompt with one chain, named by all that it follows from.

The noise of a unit comes from the seed, the prompt and the number of the sample: not from the chain, so that chains are
compared under the same noise, and not from a place in a list, so that more or other prompts, chains or samples change
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

from decodekit.chain import Chain
from decodekit.draw.randomness import derive
from decodekit.draw.whole import whole
from decodekit.errors import ConfigError, ParameterError, brief
from decodekit.model.prefix import Prefix
from decodekit.session import Prompt
from decodekit.session.base import BaseSession
from decodekit.session.options import GenerationOptions
from decodekit.session.result_key import digest, session_facts

__all__ = ["MOST_SAMPLES", "Shard", "Task", "Unit", "units_of", "warnings_of"]

MOST_SAMPLES = 2**24
"""Of one prompt: a stream has 40 bits of the prompt's digest and 24 of the sample's number."""


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, and what is right for it.

    Args:
        prompt: in any form that `Session.generate` takes.
        answer: for the check; any JSON value.
        label: a name of your own.
    """

    prompt: Prompt
    answer: Any = None
    label: str | int | None = None

    def prompt_data(self) -> Any:
        """The prompt as JSON data. Raises `ParameterError` for what is none."""
        given: Any = self.prompt
        if isinstance(given, str):
            return given
        try:
            ids = given.token_ids if isinstance(given, Prefix) else given
            return [dict(each) if isinstance(each, Mapping) else index(each) for each in ids]
        except TypeError:
            raise ParameterError(f"a prompt is text, token ids, messages or a Prefix, not {brief(given)}") from None


@dataclass(frozen=True, slots=True)
class Unit:
    """One sample.

    Args:
        task, chain: their indices.
        sample: its number among those of this prompt.
        stream: of its noise.
        key: identifies all that the result follows from.
    """

    task: int
    chain: int
    sample: int
    stream: int
    key: str


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` workers that share a sweep, from 1 on.

    Raises:
        ParameterError: there is no such worker.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        count = whole(self.count, "shard", 1, 1_000_000)
        if not 1 <= self.index <= count:
            raise ParameterError(f"shard: of {count} workers there are 1/{count} to {count}/{count}, not {self}")

    @classmethod
    def of(cls, text: str) -> Shard:
        """From text such as ``2/8``. Raises `ConfigError` for other text."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise ConfigError(f"shard: 2/8 is the second of eight workers; {text!r} is no such thing")
        return cls(int(index), int(count))

    def has(self, unit: Unit) -> bool:
        """Whether this worker makes a unit. All chains of one sample belong to one worker."""
        return self.count == 1 or derive(unit.stream) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def units_of(
    session: BaseSession, tasks: Sequence[Task], chains: Sequence[Chain], n: int, seed: int, options: GenerationOptions
) -> Iterator[Unit]:
    """The units of a sweep, chain by chain. Equal prompts get different noise, the first as if it were alone.

    Args:
        session: its model and its settings are a part of each key.
        tasks, chains: the grid.
        n: samples of each prompt with each chain.
        seed: of all units.
        options: of the call.
    """
    own = {"max_tokens": options.stop.max_tokens, "stop": list(options.stop.strings), "ban": list(options.ban)}
    own["stop_ids"] = sorted(options.stop.ids)
    ground = [session_facts(session), own, seed]
    prompts = [digest(task.prompt_data()) for task in tasks]
    for at, chain in enumerate(chains):
        of_chain, equal = digest([ground, chain.describe()]).hex(), Counter[bytes]()
        for task, prompt in enumerate(prompts):
            first = equal[prompt]
            equal[prompt] += n
            high = derive(seed, "prompt", prompt.hex()) >> 24 << 24
            for sample in range(n):
                stream = high | (first + sample)
                yield Unit(task, at, sample, stream, digest([of_chain, prompt.hex(), stream]).hex())


def warnings_of(session: BaseSession, chains: Mapping[str, Chain]) -> list[str]:
    """What a key cannot tell apart: change it, and results on disk would be taken for those of the changed one."""
    found = []
    if not session.adapter.info.model_fingerprint:
        name = session.adapter.info.model
        found.append(f"the model {name!r} has no fingerprint: results of another one of this name have the same keys")
    for label, chain in chains.items():
        parts = [*chain.describe()["processors"], chain.describe()["sampler"]]
        found += [
            f"chain {label!r}: the code of {part['name']!r} is not in the keys, only its name and parameters"
            for part in parts
            if not part["distribution"]
        ]
    return found
