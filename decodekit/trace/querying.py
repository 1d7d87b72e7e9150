"""SQL over the steps of traces, with DuckDB. Extra: ``query``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError, message_of
from decodekit.trace.converting import convert
from decodekit.trace.tables import ParquetSteps, is_table
from decodekit.types import PathLike

__all__ = ["Answer", "query"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives.

    Args:
        columns: their names.
        rows: one tuple for each row, read as they are asked for.
    """

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def query(sql: str, traces: Sequence[PathLike]) -> Iterator[Answer]:
    """Ask one question of the table ``steps``: the steps of all these traces, with the columns of docs/traces.md.

    The column ``trace`` has the name of the file too, as it was given. A trace file is converted first, into a
    temporary folder. The query is one SELECT; it can read these files and no other, and nothing of this process.

    Args:
        sql: the question.
        traces: trace files and tables.

    Raises:
        ConfigError: DuckDB or pyarrow is not installed, a file is given twice, or DuckDB refuses the query.
        TraceError: a file cannot be read.
    """
    duckdb = _duckdb()
    for at, path in enumerate(traces):
        if os.path.realpath(path) in map(os.path.realpath, traces[:at]):
            raise ConfigError(f"{os.fspath(path)} is given twice, and each of its steps would count twice")
    with tempfile.TemporaryDirectory(prefix="decodekit-") as folder:
        files = [_table(path, Path(folder) / f"{at}.parquet") for at, path in enumerate(traces)]
        connection = duckdb.connect(":memory:")
        try:
            parts = (
                f"SELECT *, {_quoted(os.fspath(path))} AS trace FROM read_parquet({_quoted(str(file))})"  # noqa: S608
                for path, file in zip(traces, files, strict=True)
            )
            connection.execute(f"SET temp_directory = {_quoted(str(Path(folder) / 'spilled'))}")
            connection.execute("CREATE VIEW steps AS " + " UNION ALL BY NAME ".join(parts))
            for setting in (
                f"allowed_paths = [{', '.join(_quoted(str(file)) for file in files)}]",
                "enable_external_access = false",  # no other file, no network, no extension
                "python_enable_replacements = false",  # no variable of this process is a table
                "lock_configuration = true",
            ):
                connection.execute(f"SET {setting}")
            statements = connection.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise ConfigError("a query is one SELECT from the table steps")
            result = connection.execute(statements[0])
            yield Answer([column[0] for column in result.description], _rows(result))
        except duckdb.Error as error:
            why = message_of(error).partition("\n\nLINE ")[0]  # without a picture of the place
            raise ConfigError(f"the query failed: {why}") from error
        finally:
            connection.close()


def _rows(result: Any) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(1024):
        yield from rows


def _table(path: PathLike, file: Path) -> Path:
    """A Parquet file of the steps, under a name that is no pattern."""
    if not is_table(path):
        convert(path, file)
        return file
    ParquetSteps(path)  # a table of decodekit, of this version
    file.symlink_to(Path(path).resolve())
    return file


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError("a query needs DuckDB: pip install 'decodekit[query]'") from error
    return duckdb
