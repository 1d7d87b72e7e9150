"""Rollouts: samples of prompts with all that a trainer needs to know of them, as a data set on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from decodekit.analysis.rollout_card import card
from decodekit.analysis.rollout_columns import batch_of, read_rollouts, rollout_file
from decodekit.analysis.rollout_rows import Rollout, require_drawing, rollouts_of
from decodekit.chain import Chain
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, TraceError, brief
from decodekit.model.prefix import Prefix
from decodekit.session import Prompt, Session
from decodekit.session.options import GenerationKeywords
from decodekit.trace.header import Header
from decodekit.types import PathLike

__all__ = ["Rollouts", "rollouts"]

_SEQUENCES = 256  # of a run, whose steps are kept in memory until they are written


@dataclass(frozen=True, slots=True)
class Rollouts:
    """A data set of rollouts: a folder with ``rollouts.parquet`` and a card, ``README.md``.

    Args:
        folder: where it is.
        sequences, tokens: how many it has.
        seed: with which it can be made again.
    """

    folder: Path
    sequences: int
    tokens: int
    seed: int

    def rows(self) -> list[Rollout]:
        """All of them, read from the file."""
        return list(read_rollouts(self.folder))


def rollouts(
    session: Session, prompts: Iterable[Prompt], n: int, folder: PathLike, **options: Unpack[GenerationKeywords]
) -> Rollouts:
    """Sample each prompt n times, and write what trainers read; see `decodekit.analysis.rollout_rows.Rollout`.

    The streams are those of `Session.generate_many`, so the same seed gives the same data.

    Args:
        session: an adapter and a chain that draws: multinomial or inverse_cdf.
        prompts: a list.
        n: samples of each.
        folder: a new folder.
        options: as for `Session.generate_many`; not ``trace``, ``level`` and ``stream``.

    Raises:
        ParameterError: there is nothing to sample, an option is not for rollouts, the sampler does not draw from the
            chain, or the probability of a token is not known.
        TraceError: the folder exists, or cannot be written.
        ConfigError: pyarrow is not installed.
        DecodekitError: of a sequence that failed; nothing is written then.
    """
    n = whole(n, "n", 1, _SEQUENCES)
    if isinstance(prompts, str | bytes | Prefix | Mapping) or not isinstance(prompts, Iterable):
        raise ParameterError(f"rollouts takes a list of prompts, not {brief(prompts)}")
    prompts = list(prompts)
    if not prompts:
        raise ParameterError("rollouts takes a list with at least one prompt")
    taken = [name for name in ("trace", "level", "stream") if name in options]
    if taken:
        raise ParameterError(f"{taken[0]} is not an option of rollouts: their record is the data set itself")
    chain = options.get("chain")
    require_drawing((session.chain if chain is None else Chain.of(chain)).describe())
    given = options.pop("seed", None)
    seed = Randomness(session.seed if given is None else given).seed
    folder = Path(folder)
    _new_folder(folder)
    file = rollout_file(folder / "rollouts.parquet")
    sequences = tokens = 0
    header: Header | None = None
    try:
        at_once = max(1, _SEQUENCES // n)
        for first in range(0, len(prompts), at_once):
            rows, header = _sampled(session, prompts[first : first + at_once], n, first, seed, options)
            file.add(batch_of(rows))
            sequences, tokens = sequences + len(rows), tokens + sum(len(row.token_ids) for row in rows)
        assert header is not None
        (folder / "README.md").write_text(card(header, len(prompts), n, sequences, tokens), encoding="utf-8")
        file.publish({})
    except BaseException:
        file.discard()
        (folder / "README.md").unlink(missing_ok=True)
        folder.rmdir()
        raise
    return Rollouts(folder, sequences, tokens, seed)


def _sampled(
    session: Session, prompts: Sequence[Prompt], n: int, first: int, seed: int, options: Any
) -> tuple[list[Rollout], Header]:
    """The rollouts of some prompts, on the streams that they have among all."""
    results = session.generate_many(prompts, n=n, seed=seed, stream=first << 32, level="proof", **options)
    flat = [result for group in results for result in group]
    failed = next((result.error for result in flat if result.error is not None), None)
    if failed is not None:
        raise failed
    trace, texts = flat[0].trace, {result.stream: result.text for result in flat}
    rows = [_moved(row, first) for row in rollouts_of(trace, lambda stream: texts[stream])]
    return rows, trace.header


def _moved(row: Rollout, first: int) -> Rollout:
    return replace(row, prompt=first + row.prompt)


def _new_folder(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        raise TraceError(f"{folder} exists; a data set is written once. Choose another folder or remove it") from None
    except OSError as error:
        raise TraceError(f"cannot create {folder}: {error.strerror}") from error
