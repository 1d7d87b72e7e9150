"""transformers' own processors on one row, as an oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from decodekit import EmptySupport

from .cases import TIGHT, scores


def theirs() -> Any:
    """The module of transformers' processors; the test is skipped where it is not installed."""
    pytest.importorskip("torch")
    return pytest.importorskip("transformers.generation")


def torch_scores(processor_of_theirs: Any, ids: list[int], row: np.ndarray) -> np.ndarray:
    """float64[V], what one of transformers' processors leaves."""
    import torch

    history = torch.tensor([ids], dtype=torch.long)
    return processor_of_theirs(history, torch.from_numpy(row)[None].clone())[0].double().numpy()


def check_same(name: str, row: np.ndarray, ctx: Any, expected: np.ndarray, **parameters: Any) -> None:
    """The expected scores, or `EmptySupport` where nothing is left of them."""
    if np.isneginf(expected).all():
        with pytest.raises(EmptySupport, match=f"stage '{name}'"):
            scores(name, row, ctx, **parameters)
        return
    np.testing.assert_allclose(scores(name, row, ctx, **parameters), expected, **TIGHT)
