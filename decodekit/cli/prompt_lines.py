"""The lines of ``--prompts``: what to generate, with options of their own, and what identifies each of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decodekit.chain import Chain
from decodekit.draw.randomness import derive
from decodekit.draw.whole import whole
from decodekit.errors import ConfigError, DecodekitError, ParameterError, did_you_mean
from decodekit.plugin.one_line import parse_sampler, read_chain
from decodekit.session import Prompt
from decodekit.session.options import GenerationOptions
from decodekit.session.result_key import digest

__all__ = ["Item", "PromptFile", "prompt_lines"]

_OPTIONS = ("seed", "max_tokens", "stop", "stop_ids", "ban", "tools", "tool_choice")
_KEYS = ("prompt", "id", *_OPTIONS, "chain", "sampler")
_LONGEST = 2**26  # bytes of a line


@dataclass(frozen=True, slots=True)
class Item:
    """One sample of one line.

    Args:
        prompt: as it is in the line.
        asked: the prompt for `Session.generate`.
        call: keyword arguments of `Session.generate`; its seed and stream are those of this sample.
        label: the line's ``id``; None without one.
        key: identifies all that determines the result.
    """

    prompt: Any
    asked: Prompt
    call: dict[str, Any]
    label: str | int | None
    key: str


@dataclass
class PromptFile:
    """A file with a prompt on each line: a JSON string, or an object with a prompt and options.

    Args:
        path: a regular file, because it is read more than once.
        call: the options of lines without their own.
        chat: whether a text is the message of a user.
        samples: how many results each line gets.

    Attributes:
        lines: how many lines with a prompt there are, after `check`.

    Raises:
        ConfigError: there is no such file, or ``samples`` is out of range.
    """

    path: Path
    call: dict[str, Any]
    chat: bool
    samples: int
    lines: int = 0
    _chains: dict[tuple[str | None, str | None], tuple[Any, Any, Chain]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if str(self.path) == "-":
            raise ConfigError("--prompts: stdin is read once only, and prompts are read twice; write them to a file")
        if not self.path.is_file():
            why = "is no regular file, and it is read more than once" if self.path.exists() else "does not exist"
            raise ConfigError(f"--prompts: {str(self.path)!r} {why}")
        self.samples = whole(self.samples, "n", 1, 1_000_000)

    def check(self) -> None:
        """Read all lines, before a model is loaded.

        Raises:
            ConfigError: what is wrong with which line.
        """
        self.lines = sum(1 for _ in self._read(None))

    def items(self, settings: Any, seed: int, chain: Chain) -> Iterator[Item]:
        """What to generate, read as it is taken. Nothing of an item depends on its place in the file.

        Equal lines get different noise: the stream is 0 for the first sample of the first of them, and so on. The seed
        is the line's, or derived from that of the run and the prompt.

        Args:
            settings: all that the results depend on besides lines and seeds, as JSON data.
            seed: of the run.
            chain: of lines without one.
        """
        equal: Counter[bytes] = Counter()
        for data, call, own in self._read(chain):
            prompt = data["prompt"]
            asked: Prompt = [{"role": "user", "content": prompt}] if self.chat and isinstance(prompt, str) else prompt
            own_seed = data.get("seed")
            noise = derive(seed, "prompt", digest(asked).hex()) if own_seed is None else own_seed
            if own is not None:
                call = {**call, "chain": own}
            options = {key: value for key, value in call.items() if key != "chain"}
            line = digest([asked, options, (own or chain).describe(), noise, settings])
            first = equal[line]
            equal[line] += self.samples
            for stream in range(first, first + self.samples):
                key = digest([line.hex(), stream]).hex()
                yield Item(prompt, asked, {**call, "seed": noise, "stream": stream}, data.get("id"), key)

    def _read(self, chain: Chain | None) -> Iterator[tuple[dict[str, Any], dict[str, Any], Chain | None]]:
        """Each line, its options, and its own chain; ``chain`` is that of the others, None where it is not known."""
        for where, data in prompt_lines(self.path, _KEYS):
            yield self._line(data, where, chain)

    def _line(
        self, data: dict[str, Any], where: str, chain: Chain | None
    ) -> tuple[dict[str, Any], dict[str, Any], Chain | None]:
        call = {**self.call, **{key: data[key] for key in _OPTIONS if data.get(key) is not None}}
        try:
            GenerationOptions.of(call, {"max_tokens": 1})  # type: ignore[arg-type]  # that is what it checks
            if data.get("seed") is not None:
                derive(data["seed"])
            return data, call, self._chain(data, chain)
        except DecodekitError as error:
            raise ConfigError(f"{where}: {error}") from None

    def _chain(self, data: dict[str, Any], chain: Chain | None) -> Chain | None:
        written = (_text_of(data, "chain"), _text_of(data, "sampler"))
        if written == (None, None):
            return None
        if written not in self._chains:
            parts, named = ([], None) if written[0] is None else read_chain(written[0])
            if named is not None and written[1] is not None:
                raise ParameterError(f"sampler: the chain ends with a sampler of its own, {named['name']!r}")
            named = named if written[1] is None else parse_sampler(written[1])
            self._chains[written] = (None if written[0] is None else parts, named, Chain.from_parts(parts, named))
        processors, named, made = self._chains[written]
        if chain is None:  # it was only checked
            return made
        return Chain(
            chain.processors if processors is None else made.processors,
            chain.sampler if named is None else made.sampler,
        )


def prompt_lines(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a file that have something, as objects with a prompt, and where each stands.

    Args:
        path: the file.
        keys: what an object may have.

    Raises:
        ConfigError: the file cannot be read; or what is wrong with which line.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST + 1):
                number += 1
                if line.strip():
                    where = f"{path}, line {number}"
                    yield where, _parsed(line, where, keys)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _parsed(line: bytes, where: str, keys: Sequence[str]) -> dict[str, Any]:
    """A line as an object with a prompt, all of whose keys are known."""
    if len(line) > _LONGEST:
        raise ConfigError(f"{where}: it has more than {_LONGEST} bytes")
    try:
        data = json.loads(line.decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f'{where}: it is not JSON: {error}; a line is a text in quotes, or {{"prompt": "..."}}'
        ) from None
    if isinstance(data, str):
        data = {"prompt": data}
    if not isinstance(data, dict) or "prompt" not in data:
        raise ConfigError(f"{where}: a line is a text, or an object with the key 'prompt'")
    unknown = [key for key in data if key not in keys]
    if unknown:
        raise ConfigError(f"{where}: there is no option {unknown[0]!r}{did_you_mean(unknown[0], keys)}")
    label, prompt = data.get("id"), data["prompt"]
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise ConfigError(f"{where}: an id is text or a whole number, not {label!r}")
    kinds = {type(each) for each in prompt} if isinstance(prompt, list) else None
    if not isinstance(prompt, str) and kinds not in (set(), {int}, {dict}):
        raise ConfigError(f"{where}: a prompt is text, a list of token ids or a list of messages")
    return data


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _text_of(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise ParameterError(f"{key} is text, as for --{key}, not {value!r}")
    return value
