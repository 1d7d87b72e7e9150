"""llama-server itself, with the settings of the model in process. Opt in with -m real_server.

DECODEKIT_LLAMA_SERVER names the program where it is not on the PATH. The figures in docs/remote.md come from a build of
the same sources as the model in process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")

import decodekit
from decodekit.model.adapter import Adapter
from decodekit.model.asking import blocking
from decodekit.testing import check_adapter
from tests.adapters.llamacpp.bare_loop import MODEL, model_path
from tests.adapters.remote.real import CHAINS, DRAFTS, PROMPTS, answering, decoded, explained, free_port

pytestmark = [pytest.mark.real_server, pytest.mark.slow, pytest.mark.timeout(3600)]

PROGRAM = os.environ.get("DECODEKIT_LLAMA_SERVER") or shutil.which("llama-server")
TOKENS = 48  # times 8 prompts, 3 chains and 5 drafts: 5,760 positions


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The cache types and the rows per pass of the model in process, whose bits do not depend on the schedule."""
    if PROGRAM is None:
        pytest.skip("there is no llama-server on the PATH, and DECODEKIT_LLAMA_SERVER names none")
    port = free_port()
    command = [PROGRAM, "-m", model_path(), "--host", "127.0.0.1", "--port", str(port), "-c", "2048", "-np", "1"]
    command += ["-t", "1", "-b", "64", "-ub", "64", "-fa", "on", "-ctk", "bf16", "-ctv", "f16"]
    with answering(command, f"http://127.0.0.1:{port}") as url:
        yield url


@pytest.fixture(scope="module")
def local() -> Iterator[Adapter]:
    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=2048, n_threads=1)
    yield adapter
    adapter.close()


def test_check_adapter_passes(server: str) -> None:
    """To the bit between answers of one size; a head and the whole row differ by the server's own rounding, 6e-5."""
    report = check_adapter(lambda: decodekit.adapter("remote", base_url=server), exact=False, tolerance=1e-3)
    assert report.largest_difference == 0.0


@pytest.mark.parametrize("chain", CHAINS)
def test_every_token_is_that_of_the_model_in_process(server: str, local: Adapter, chain: str) -> None:
    expected = decoded(local, chain, tokens=TOKENS)
    for draft in DRAFTS:
        there = blocking(decodekit.adapter("remote", base_url=server, tokenizer=local.tokenizer, draft=draft))
        equal, different = explained(there, local, chain, decoded(there, chain, tokens=TOKENS), expected)
        print(f"{chain}, draft {draft}: {equal} positions equal, {different} of {len(PROMPTS)} sequences differ")
        assert different == 0, f"draft={draft}"
        there.close()
