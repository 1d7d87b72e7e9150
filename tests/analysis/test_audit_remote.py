"""An audit against a server that gives tokens as texts."""

from __future__ import annotations

import pytest

pytest.importorskip("httpx")

from decodekit import ParameterError
from decodekit.analysis.audit import audit
from decodekit.model.asking import blocking
from decodekit.testing import NGramAdapter
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import serving


def test_without_a_tokenizer_the_way_out_is_told() -> None:
    with serving("openai_chat") as server:
        other = blocking(RemoteAdapter(base_url=server.url, dialect="openai_chat"))
        with pytest.raises(ParameterError, match=r"gives tokens as texts.*tokenizer = "):
            audit(NGramAdapter("the cat sat. "), prompts=["the ", "cat"], tokens=2, axes=["against"], against=other)
        other.close()
