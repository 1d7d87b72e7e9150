"""The folder of a sweep: each worker appends to a file of its own, and reads those of all.

So workers need no coordinator, and a file has one writer. A line is a sample, or what a check said of one. The last
line of a file may be incomplete, where its worker was killed: it is ignored, and its unit is made again. Nothing is
ever changed or removed, and every line is found by its key, so a folder may hold any number of sweeps, and folders may
be copied into one another.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError
from decodekit.session.row_file import RowFile

__all__ = ["FORMAT", "Found", "Repeat", "SweepFolder", "answer_text", "first_difference"]

FORMAT = "decodekit-sweep/1"


@dataclass(frozen=True, slots=True)
class Repeat:
    """Two workers made one unit.

    Args:
        key: of the unit.
        files: the names of both.
        at: the index of the first token that differs; None where the results are equal.
    """

    key: str
    files: tuple[str, str]
    at: int | None


@dataclass
class Found:
    """What a folder has.

    Attributes:
        samples: rows of samples by key; of several the first, in the order of the file names and lines.
        checked: rows of checks by the key of the sample, the identity of the check, and the answer as JSON text, which
            tells 1, 1.0 and true apart.
        repeats: units that were made more than once.
        seeds: of all rows of samples.
    """

    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    checked: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    seeds: set[int] = field(default_factory=set)


class SweepFolder:
    """A folder.

    Args:
        path: it is made if its parent is there.

    Raises:
        ConfigError: it cannot be made, or is a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            why = "it is a file" if path.is_file() else error.strerror
            raise ConfigError(f"the results of a sweep go to a folder; cannot make {path}: {why}") from error

    def read(self) -> Found:
        """All results; rows of errors are left out, so that their units are made again.

        Raises:
            ConfigError: a line that no sweep wrote, or a file that cannot be read.
        """
        found, origin = Found(), dict[str, str]()
        for name, row in self._rows():
            key = row["key"]
            if "check" in row:
                if "error" not in row:
                    found.checked.setdefault((key, row["check"], answer_text(row.get("answer"))), row)
                continue
            found.seeds.add(row["seed"])
            if "error" in row:
                continue
            if key in found.samples:
                at = first_difference(found.samples[key]["token_ids"], row["token_ids"])
                found.repeats.append(Repeat(key, (origin[key], name), at))
            else:
                found.samples[key], origin[key] = row, name
        return found

    def append(self, label: str) -> RowFile:
        """A new file for one worker.

        Raises:
            OSError: it cannot be made.
        """
        return RowFile(self.path / f"{label}-{secrets.token_hex(4)}.jsonl")

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted(self.path.glob("*.jsonl")):
            try:
                with path.open("rb") as file:
                    for number, line in enumerate(file, 1):
                        if line.endswith(b"\n"):
                            yield path.name, _row(line, path, number)
            except OSError as error:
                raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def answer_text(answer: Any) -> str:
    """An answer as JSON text, the same for the same data. Raises `TypeError` or `ValueError` for what is no JSON."""
    return json.dumps(answer, allow_nan=False, sort_keys=True)


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """The index of the first token that differs, or that only one of them has; None for equal ones."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return None if len(one) == len(other) else min(len(one), len(other))


def _row(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        known = row["format"] == FORMAT and isinstance(row["key"], str)
        if known and ("check" in row or (isinstance(row["seed"], int) and ("error" in row or "token_ids" in row))):
            return dict(row)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise ConfigError(f"{path}, line {number}, was not written by a sweep; choose another folder, or remove the file")
