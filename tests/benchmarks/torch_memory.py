"""Peak memory beyond the model's own for one sequence, the adapter's and that of `generate`, each in its own process.

On a GPU torch's allocator is asked; on the CPU the kernel is, for the largest resident set since it was reset (Linux).
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .timing import Ratio

PROMPT = 512
TOKENS = 64


def peak(run: Callable[[], object], device: str) -> float:
    """Bytes beyond those in use before."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return float(torch.cuda.max_memory_allocated() - before)
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    run()
    return 1024.0 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def once(side: str, fixed: bool) -> float:
    """One text of `PROMPT` + `TOKENS` tokens by one side, with caches that grow or with fixed ones."""
    import torch

    import decodekit

    from .decoding import Endless

    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    adapter: Any = decodekit.adapter(
        "torch", model="smollm2", device=device, compile=fixed and side == "ours", n_ctx=PROMPT + TOKENS
    )
    ids, others = ([(i + first) % 1000 + 10 for i in range(PROMPT)] for first in (0, 500))
    session = decodekit.Session(Endless(adapter), decodekit.Chain([decodekit.processor("top_k", top_k=40)]))  # type: ignore[arg-type]
    cache: dict[str, Any] = {"cache_implementation": "static"} if fixed else {}

    def ours(prompt: list[int], tokens: int = TOKENS) -> object:
        return session.generate(decodekit.Prefix(prompt), max_tokens=tokens, seed=1)

    def theirs(prompt: list[int], tokens: int = TOKENS) -> object:
        given = torch.tensor([prompt], device=device)
        return adapter.module.generate(
            given, attention_mask=torch.ones_like(given), do_sample=True, top_k=40,
            max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0, **cache,
        )  # fmt: skip

    run = ours if side == "ours" else theirs
    if fixed:
        run(others)  # compilers take memory of their own, once, and both sides keep their fixed caches
    else:
        run(others[:4], 2)  # so do late imports, and what is made once for a tokenizer
    return peak(lambda: run(ids), device)


def measure(fixed: bool = False) -> Ratio:
    """The ratio of the peaks; the columns for milliseconds hold MiB."""
    root = Path(__file__).parents[2]
    sizes = []
    for side in ("ours", "theirs"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.torch_memory", side, str(int(fixed))],
            cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        sizes.append(float(done.stdout.split()[-1]) / 2**20)
    ours, theirs = sizes
    ratio = theirs / ours
    kind = "fixed caches" if fixed else "caches that grow"
    return Ratio(
        f"peak MiB beyond the model, {PROMPT} + {TOKENS} tokens, {kind}", "generate", ours / 1e3, theirs / 1e3,
        ratio, ratio, ratio, 1 / 1.1,
    )  # fmt: skip


if __name__ == "__main__":
    print(once(sys.argv[1], bool(int(sys.argv[2]))))
