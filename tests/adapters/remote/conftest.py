"""Without the extra ``remote`` there is nothing to test here. What the tests of llama-cpp-python's server share."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("httpx") and find_spec("httpx_sse") and find_spec("tenacity") else ["test_*.py"]


@pytest.fixture(scope="package")
def python_server() -> Iterator[str]:
    """llama-cpp-python's, with the flash attention and the cache types of the adapter in process: the same values."""
    from tests.adapters.llamacpp.bare_loop import model_path
    from tests.adapters.remote.real import BF16, llama_cpp_python

    with llama_cpp_python(model_path(), "--n_ctx", "512", "--flash_attn", "true", "--type_k", BF16) as url:
        yield url


@pytest.fixture(scope="package")
def in_process() -> Iterator[Any]:
    """The same model in process."""
    import decodekit
    from tests.adapters.llamacpp.bare_loop import MODEL

    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=512, n_threads=1)
    yield adapter
    adapter.close()
