"""Calls of the hub in a process of their own: its library reads its variables when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import json, sys
import decodekit
from decodekit import DecodekitError
from decodekit.local.hub import hub_folder
from decodekit.local.hub_names import hub_name

def opened(what, **options):
    with decodekit.open(what, chain="greedy", max_tokens=2, **options) as session:
        info = session.generate("The capital of").trace.header.adapter
        return [info["name"], info["model"], info["model_fingerprint"], info["versions"].get("hub commit")]

def told(what, **options):
    try:
        return opened(what, **options) if "gguf" in what else str(hub_folder(hub_name(what), **options))
    except DecodekitError as error:
        return str(error)

print(json.dumps([told(what, **options) for what, options in json.load(sys.stdin)]))
"""


def run(
    calls: list[tuple[str, dict[str, Any]]], endpoint: str, home: Path, stderr: int = subprocess.PIPE, **variables: str
) -> list[Any]:
    """What each call gives, in another process: its result, or the text of its error.

    Args:
        calls: what is opened, if it is a GGUF file, or else fetched; and the options.
        endpoint: the hub's address.
        home: the folder of the hub's library.
        stderr: where to print; nothing may be printed to a pipe.
        variables: further variables of the environment.
    """
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and key[:3] != "HF_"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(calls),
        env={**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # no progress bar where there is no terminal
    return list(json.loads(done.stdout))
