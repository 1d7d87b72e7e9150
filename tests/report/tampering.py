"""Traces for two verifiers to agree on: honest runs, and what chance makes of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import decodekit
from decodekit.testing import TableAdapter
from tests.trace.forging import Line, packed
from tests.trace.golden_runs import NGRAM, scores

from .recipes import forge

WIDE = TableAdapter(lambda ids: scores(ids, 300), 300)
HEADS = TableAdapter(lambda ids: scores(ids, 60), 60, most=decodekit.Disclosure(6, (0,)))
CHAINS = ["", "temperature=1.25", "temperature=0.8 top_p=0.95", "top_k=12 xtc=0.5"]


def honest(folder: Path) -> Iterator[Path]:
    """Small runs over samplers, levels, whole rows and heads, with and without a floor and a ban."""
    adapters: list[tuple[Any, Any, dict[str, Any]]] = [
        (NGRAM, "the ", {"ban": ["ca", "do", "lo"]}),
        (WIDE, [5], {}),
        (HEADS, [3], {}),
    ]
    cases = product(adapters, CHAINS, ["multinomial", "greedy", "inverse_cdf"], ["choice", "proof", "full"])
    for i, ((adapter, prompt, more), chain, sampler, level) in enumerate(cases):
        path = folder / f"honest{i}.jsonl"
        session = decodekit.Session(adapter, decodekit.Chain.of(f"{chain} {sampler}"), seed=i, top_logprobs=2)
        with suppress(decodekit.DecodekitError):  # hidden tokens matter: the footer says that it ended in an error
            session.generate(prompt, max_tokens=3, level=level, trace=path, **more)
        yield path


def tampered(source: bytes, chance: Random) -> bytes:
    """This trace with one thing changed: a value under digests that fit, or bytes."""
    kind = chance.random()
    if kind < 0.2:
        return chance.choice(DAMAGES)(source, chance)
    lines = [json.loads(line) for line in source.split(b"\n")[:-1]]
    (forge if kind < 0.8 else _change_any)(lines, chance)
    return packed(lines)


def _change_any(lines: list[Line], chance: Random) -> None:
    line = chance.choice(lines)
    holder: Any = line["content"]
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            break
        key = chance.choice(keys)
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.9:
            holder = inner
            continue
        _change_one(holder, key, chance)
        return
    if isinstance(holder, list):
        holder.append(1)
    else:
        holder["new"] = 1


def _change_one(holder: Any, key: Any, chance: Random) -> None:
    how = chance.random()
    if how < 0.1:
        del holder[key]
    elif how < 0.15 and isinstance(holder, dict):
        holder[chance.choice(["new", "__proto__", "constructor"])] = chance.choice([1, None, {}])
    elif how < 0.2 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[key] = chance.choice(_others(holder[key]))


def _others(value: Any) -> list[Any]:
    """Other values, some of which fit; none that only a lenient reader takes, such as a number as text."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        near = [value + 1, value - 1, value + 2, 0, 1, 3, -1, 999, 2**20, 2**53 + 1, 2**63, 2**64, None]
        return [other for other in near if other != value]
    if isinstance(value, float):
        size = max(1.0, abs(value))
        steps = [0.5, -0.5, 1e-6 * size, -1e-6 * size, 1e-11 * size, 1e-13]
        return [*(value + step for step in steps), 99.5, -3.5, "inf", "-inf", 1e300, None]
    if isinstance(value, str):
        return [value + "x", value[::-1], value[:-1], "", "inf", "multinomial", "greedy", "provider", "cat", "ca", None]
    if isinstance(value, list):
        return [value[:-1], value[::-1], [], [*value, *value], None, {}]
    return [None, [], {}, 0, 1, 0.5]


def _lines(change: Callable[[list[bytes], Random], list[bytes]]) -> Callable[[bytes, Random], bytes]:
    return lambda data, chance: b"".join(change(data.splitlines(keepends=True), chance))


def _swap(lines: list[bytes], chance: Random) -> list[bytes]:
    i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return lines


def _drop(lines: list[bytes], chance: Random) -> list[bytes]:
    del lines[chance.randrange(len(lines))]
    return lines


def _double(lines: list[bytes], chance: Random) -> list[bytes]:
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    return lines


def _flip(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _insert(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice([b" ", b"\n", b"\r", b"\x00", b"\xff", b'"', b"{}\n", b"0"]) + data[at:]


DAMAGES = [_flip, _flip, _cut, _insert, _lines(_swap), _lines(_drop), _lines(_double)]
