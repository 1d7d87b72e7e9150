"""Run the measurements: all of them, or those that are named: imports, or one of `PARTS`."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from tests.benchmarks import (
    audit,
    callers,
    chains,
    choices,
    constraints,
    decoding,
    drawing,
    first_token,
    guessing,
    history,
    imports,
    on_device,
    remote,
    report,
    rows,
    samplers,
    samples,
    science,
    sweep,
    torch_adapter,
    tracing,
    trips,
    verifying,
)
from tests.benchmarks.timing import HEADER

PARTS = (
    ("chains", chains),
    ("choices", choices),
    ("constraints", constraints),
    ("samplers", samplers),
    ("drawing", drawing),
    ("history", history),
    ("decoding", decoding),
    ("guessing", guessing),
    ("callers", callers),
    ("samples", samples),
    ("sweep", sweep),
    ("first_token", first_token),
    ("science", science),
    ("audit", audit),
    ("report", report),
    ("torch", torch_adapter),
    ("device", on_device),
    ("verifying", verifying),
    ("tracing", tracing),
    ("remote", remote),
    ("trips", trips),
    ("rows", rows),
)


def main(names: list[str]) -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    if not names or "imports" in names:
        print(imports.measure())
    for name, module in PARTS:
        if not names or name in names:
            print(f"\n{name}\n{getattr(module, 'HEADER', HEADER)}")
            for ratio in module.measure():
                print(ratio.line(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
