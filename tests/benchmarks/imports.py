"""What ``import decodekit`` costs."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = "import time; t = time.perf_counter(); import decodekit; print(time.perf_counter() - t)"


def measure(rounds: int = 11) -> str:
    """Median seconds in fresh processes."""
    command = [sys.executable, "-I", "-c", CODE]
    times = sorted(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(rounds))
    return f"import decodekit: {statistics.median(times):.3f} s ({times[0]:.3f} to {times[-1]:.3f}); goal under 0.25 s"
