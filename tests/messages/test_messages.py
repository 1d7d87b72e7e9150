"""Every wrong call of a user's first hours has a message that names the field, the cause and the way out.

The calls and their messages are in messages.txt, which a person reads. After a change:
``python -m tests.messages.test_messages`` writes it again; read what changed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import decodekit
from tests.messages.chains import CHAINS
from tests.messages.command_line import COMMAND_LINE
from tests.messages.configurations import CONFIGURATIONS
from tests.messages.generating import GENERATING
from tests.messages.opening import OPENING
from tests.messages.plugins import PLUGINS
from tests.messages.records import RECORDS
from tests.messages.surroundings import names, own_plugins, told, write_files

GOLDEN = Path(__file__).with_name("messages.txt")
TABLE = {
    "Opening a model": OPENING,
    "Chains": CHAINS,
    "Configurations": CONFIGURATIONS,
    "Generating": GENERATING,
    "Records": RECORDS,
    "Plugins and adapters": PLUGINS,
    "The command line": COMMAND_LINE,
}


def outcome(call: str, known: dict[str, Any], folder: Path) -> str:
    try:
        exec(call, known)
    except Exception as error:
        return told(error, folder)
    return "NO ERROR"


def page() -> str:
    parts = []
    with surroundings() as (known, folder):
        for title, calls in TABLE.items():
            parts.append(f"# {title}\n")
            for name, (call, *mended) in calls.items():
                lines = [f"-- {name}", call.strip(), f"    {outcome(call, known(), folder)}"]
                for each in mended:
                    lines += (
                        [f"mended: {each.strip()}"]
                        if (said := outcome(each, known(), folder)) == "NO ERROR"
                        else [f"MENDED FAILS: {each} {said}"]
                    )
                parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


@contextlib.contextmanager
def surroundings() -> Iterator[Any]:
    before = Path.cwd()
    smollm2 = cache(lambda: decodekit.open("smollm2"))
    with tempfile.TemporaryDirectory() as folder, own_plugins():
        write_files(Path(folder))
        os.chdir(folder)
        os.environ["HF_HOME"] = folder
        try:
            yield (lambda: {**names(smollm2), "smollm2": smollm2()}), Path(folder)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    GOLDEN.write_text(page())
