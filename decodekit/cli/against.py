"""Two chains compared on one distribution: what each stage keeps, and where they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decodekit.chain import Chain
from decodekit.cli.chain_writing import written
from decodekit.cli.picture import SAMPLE, SAMPLE_CONTEXT
from decodekit.distribution import Distribution
from decodekit.draw.context import Context
from decodekit.draw.randomness import PROCESSORS, Randomness
from decodekit.errors import ConfigError
from decodekit.plugin import registry
from decodekit.plugin.one_line import parse_preset
from decodekit.plugin.presets import names_of, ported

__all__ = ["Comparison", "Disagreement", "Reached", "compare", "counterpart", "read_row"]

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Reached:
    """What is left after a stage.

    Args:
        stage: the processor, as written in a chain.
        support: how many tokens have probability after it.
    """

    stage: str
    support: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A token that one chain keeps and the other removes.

    Args:
        token_id: the token.
        kept_by: 0 for the first chain, 1 for the second.
        share: its final probability in the chain that keeps it.
        place: the stage that removes it in the other chain, counted from 0.
    """

    token_id: int
    kept_by: int
    share: float
    place: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two chains on one distribution.

    Args:
        stages: the stages of each chain.
        disagreements: the tokens that only one of them keeps: in the order of their removal, then by probability.
        distance: the total variation between the two final distributions.
    """

    stages: tuple[tuple[Reached, ...], tuple[Reached, ...]]
    disagreements: tuple[Disagreement, ...]
    distance: float

    @property
    def same(self) -> bool:
        return self.distance < _SAME


def counterpart(chain: Chain, text: str) -> tuple[str, Chain, tuple[str, ...]]:
    """A preset with the settings of a chain whose names it shares; the parameters in the text take precedence.

    Returns:
        The preset's name, its chain, and the settings for which it has no name.
    """
    name, version, own = parse_preset(text, "--against")
    settings: dict[str, Any] = {}
    for part in map(registry.describe, chain.processors):
        settings.setdefault(part["name"], part["params"].get(part["name"]))
    carried = ported(name, settings)
    left = tuple(key for key in settings if key not in carried)
    theirs = {**carried, **own}
    for key in own:  # another spelling of the same parameter is replaced
        theirs = {other: value for other, value in theirs.items() if other in own or not _one(name, key, other)}
    return name, Chain.preset(name, version, **theirs), left


def read_row(path: Path | None) -> tuple[Distribution, Context]:
    """A row of logits from a ``.npy`` file, with no history; without a file, the built-in sample and its history.

    Raises:
        ConfigError: the file cannot be read, or holds no row of numbers.
    """
    if path is None:
        return SAMPLE, SAMPLE_CONTEXT
    try:
        row = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if row.ndim != 1 or row.dtype.kind not in "fiu":
        raise ConfigError(f"{path} holds {row.dtype} of shape {row.shape}; expected one row of logits")
    return Distribution.dense(row), Context(rng=Randomness(0).at(0, PROCESSORS))


def compare(chains: tuple[Chain, Chain], dist: Distribution, ctx: Context) -> Comparison:
    """Run both, stage by stage.

    Raises:
        DecodekitError: see `Chain.apply`.
    """
    runs = tuple(_run(chain, dist, ctx) for chain in chains)
    finals = [run[-1][1] for run in runs]
    kept = [set(final.support().tolist()) for final in finals]
    disagreements = [
        Disagreement(token, side, math.exp(finals[side].logprob(token)), _removed_at(runs[1 - side], token))
        for side in (0, 1)
        for token in kept[side] - kept[1 - side]
    ]
    disagreements.sort(key=lambda disagreement: (disagreement.place, -disagreement.share, disagreement.token_id))
    stages = tuple(tuple(Reached(stage, after.support_size) for stage, after in run[1:]) for run in runs)
    return Comparison((stages[0], stages[1]), tuple(disagreements), finals[0].tv(finals[1]))


def _run(chain: Chain, dist: Distribution, ctx: Context) -> list[tuple[str, Distribution]]:
    reached = [("", dist)]
    for processor in chain.processors:
        reached.append((written(processor), Chain([processor]).apply(reached[-1][1], ctx)))
    return reached


def _removed_at(run: list[tuple[str, Distribution]], token: int) -> int:
    return next(place for place, (_, after) in enumerate(run[1:]) if after.score(token) == -math.inf)


def _one(preset: str, key: str, other: str) -> bool:
    names = names_of(preset)
    return names.get(key.replace("-", "_")) == names.get(other)
