"""Rollouts: samples of prompts with all that a trainer needs to know of them, as a data set on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from decodekit.analysis.trainers.card import card
from decodekit.analysis.trainers.columns import batch_of, read_rollouts, rollout_file
from decodekit.analysis.trainers.rows import Rollout, require_drawing, rollouts_of
from decodekit.chain import Chain
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import DecodekitError, ParameterError, TraceError, brief
from decodekit.model.prefix import Prefix
from decodekit.session import Prompt, Result, Session
from decodekit.session.options import GenerationKeywords
from decodekit.trace.columns import run_of
from decodekit.trace.header import Header
from decodekit.trace.table_file import TableFile
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
        failed: how many of the sequences ended with an error.
        first_error: the message of the first of them; '' where none failed.
    """

    folder: Path
    sequences: int
    tokens: int
    seed: int
    failed: int = 0
    first_error: str = ""

    def rows(self) -> list[Rollout]:
        """All of them, read from the file."""
        return list(read_rollouts(self.folder))


def rollouts(
    session: Session,
    prompts: Iterable[Prompt],
    n: int,
    folder: PathLike,
    *,
    start: int = 0,
    **options: Unpack[GenerationKeywords],
) -> Rollouts:
    """Sample each prompt n times, and write what trainers read; see `decodekit.analysis.trainers.rows.Rollout`.

    The streams are those of `Session.generate_many`, so the same seed gives the same data. A sequence that failed is a
    row with the ``stop_reason`` error. Where all sequences of a run failed, or an interrupt or another error ends it,
    the prompts before that are kept, each with all its samples; a note of the error and the card say which: go on with
    the same call, another folder, and ``start``.

    Args:
        session: an adapter and a chain that draws: multinomial or inverse_cdf.
        prompts: a list.
        n: samples of each.
        folder: a new folder.
        start: the number of the first prompt that is sampled; the streams are those of the whole list.
        options: as for `Session.generate_many`; not ``trace``, ``level`` and ``stream``.

    Raises:
        ParameterError: there is nothing to sample, an option is not for rollouts, the sampler does not draw from the
            chain, or the probability of a token is not known.
        TraceError: the folder exists, or cannot be written.
        ConfigError: pyarrow is not installed.
        DecodekitError: of the model; if it is the first run that fails, nothing is written.
    """
    n = whole(n, "n", 1, _SEQUENCES)
    if isinstance(prompts, str | bytes | Prefix | Mapping) or not isinstance(prompts, Iterable):
        raise ParameterError(f"rollouts takes a list of prompts, not {brief(prompts)}")
    given = list(prompts)
    if not given:
        raise ParameterError("rollouts takes a list with at least one prompt")
    start = whole(start, "start", 0, len(given) - 1)
    taken = [name for name in ("trace", "level", "stream") if name in options]
    if taken:
        raise ParameterError(f"{taken[0]} is not an option of rollouts: their record is the data set itself")
    chain = options.get("chain")
    require_drawing((session.chain if chain is None else Chain.of(chain)).describe())
    own = options.pop("seed", None)
    call = _Call(session, given, n, Randomness(session.seed if own is None else own).seed, options)
    folder = Path(folder)
    _new_folder(folder)
    file = rollout_file(folder / "rollouts.parquet")
    made = _Made(start)
    try:
        try:
            while made.end < len(given):
                _add_run(call, made, file)
        except BaseException as error:
            if made.end > start:
                _publish(folder, file, made, call, start)
                error.add_note(
                    f"the samples of the {made.end - start} prompts before number {made.end} are in {folder}; the same "
                    f"call with start={made.end}, seed={call.seed} and another folder makes the others"
                )
            elif not isinstance(error, Exception):
                error.add_note("no prompt had all its samples yet, so nothing is kept")
            raise
        _publish(folder, file, made, call, start)
    except BaseException:
        if not (folder / "rollouts.parquet").exists():
            file.discard()
            (folder / "README.md").unlink(missing_ok=True)
            folder.rmdir()
        raise
    return Rollouts(folder, made.sequences, made.tokens, call.seed, made.failed, made.error)


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked for."""

    session: Session
    prompts: list[Prompt]
    n: int
    seed: int
    options: Any


@dataclass(slots=True)
class _Made:
    """What is in the file: all samples of the prompts before ``end``."""

    end: int
    sequences: int = 0
    tokens: int = 0
    failed: int = 0
    error: str = ""
    header: Header | None = None

    def take(self, rows: list[Rollout], header: Header) -> None:
        """The samples of the next prompt."""
        self.end, self.header = self.end + 1, header
        self.sequences += len(rows)
        self.tokens += sum(len(row.token_ids) for row in rows)
        self.failed += sum(row.stop_reason == "error" for row in rows)


def _add_run(call: _Call, made: _Made, file: TableFile) -> None:
    """Sample the next prompts, as many as one run takes; what it made of whole prompts is added also if it fails."""
    first, n = made.end, call.n
    prompts = call.prompts[first : first + max(1, _SEQUENCES // n)]
    results = call.session.as_completed(
        prompts, n=n, seed=call.seed, stream=first << 32, level="proof", **call.options
    )  # fmt: skip
    found: list[list[Rollout]] = [[] for _ in prompts]
    ready: list[Rollout] = []
    errors: list[DecodekitError] = []
    fine = 0
    try:
        for result in results:
            row = _row(result)
            if result.error is not None:
                errors.append(result.error)
                made.error = made.error or str(result.error)
            fine += result.error is None
            if len(errors) == n * len(prompts):
                raise errors[0]
            found[row.prompt - first].append(row)
            while fine and made.end < first + len(prompts) and len(found[made.end - first]) == n:
                rows = sorted(found[made.end - first], key=lambda row: row.sample)
                ready += rows
                made.take(rows, result.trace.header)
    finally:
        if ready:
            file.add(batch_of(ready))


def _row(result: Result) -> Rollout:
    (row,) = rollouts_of(result.trace, lambda _: result.text)
    header = replace(result.trace.header, prompts=[], sequences=[], given=None)  # what all rows have in common
    return replace(row, run=run_of(header), prompt=result.stream >> 32, sample=result.stream & 0xFFFFFFFF)


def _publish(folder: Path, file: TableFile, made: _Made, call: _Call, start: int) -> None:
    assert made.header is not None
    text = card(
        made.header,
        made.end - start,
        call.n,
        made.sequences,
        made.tokens,
        missing=len(call.prompts) - made.end,
        failed=f"{made.failed} of the sequences failed; the first: {made.error}" if made.failed else "",
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    file.publish({})


def _new_folder(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        raise TraceError(f"{folder} exists; a data set is written once. Choose another folder or remove it") from None
    except OSError as error:
        raise TraceError(f"cannot create {folder}: {error.strerror}") from error
