"""Rollouts in the forms that trainers take. Numpy arrays: ``torch.from_numpy`` makes them tensors without a copy.

The names are those of TRL 1.16.0 (trl/trainer/grpo_trainer.py) and verl 0.9.1
(verl/experimental/agent_loop/agent_loop.py), which read them. Only the log-probabilities as sampled are given: a
ratio to others is not that of the behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decodekit.analysis.trainers.rows import Rollout
from decodekit.errors import ParameterError

__all__ = ["trl_batch", "trl_rollouts", "verl_batch"]


def trl_rollouts(rows: Sequence[Rollout]) -> dict[str, list[Any]]:
    """What TRL's ``GRPOTrainer(rollout_func=...)`` returns: lists, and ``env_mask``, which becomes its tool mask."""
    _samples(rows)
    return {
        "prompt_ids": [row.prompt_ids for row in rows],
        "completion_ids": [row.token_ids for row in rows],
        "logprobs": [row.logprobs for row in rows],
        "env_mask": [row.loss_mask for row in rows],
    }


def trl_batch(rows: Sequence[Rollout], pad_token_id: int) -> dict[str, NDArray[Any]]:
    """The inputs of TRL's loss: prompts padded on the left, completions on the right.

    Returns:
        prompt_ids, prompt_mask: int64[rows, longest prompt]; completion_ids, completion_mask, tool_mask: int64[rows,
        longest completion]; sampling_per_token_logps: float32 of the same shape, 0 where it is padded. ``tool_mask`` is
        1 where it is padded, as TRL has it.
    """
    _samples(rows)
    prompts, answers = [row.prompt_ids for row in rows], [row.token_ids for row in rows]
    return {
        "prompt_ids": _padded(prompts, pad_token_id, left=True),
        "prompt_mask": _padded([[1] * len(ids) for ids in prompts], 0, left=True),
        "completion_ids": _padded(answers, pad_token_id),
        "completion_mask": _padded([[1] * len(ids) for ids in answers], 0),
        "sampling_per_token_logps": _padded([row.logprobs for row in rows], 0.0, kind=np.float32),
        "tool_mask": _padded([row.loss_mask for row in rows], 1),
    }


def verl_batch(rows: Sequence[Rollout], pad_token_id: int) -> dict[str, NDArray[Any]]:
    """The tensors of verl's ``DataProto``: prompts padded on the left, responses on the right.

    Returns:
        prompts: int64[rows, longest prompt]; responses, response_mask: int64[rows, longest response];
        rollout_log_probs: float32 of the same shape, 0 where it is padded; input_ids, attention_mask, position_ids:
        int64[rows, both].
    """
    _samples(rows)
    prompts, answers = [row.prompt_ids for row in rows], [row.token_ids for row in rows]
    left, right = _padded(prompts, pad_token_id, left=True), _padded(answers, pad_token_id)
    attention = np.concatenate(
        [_padded([[1] * len(ids) for ids in prompts], 0, left=True), _padded([[1] * len(ids) for ids in answers], 0)],
        axis=1,
    )
    return {
        "prompts": left,
        "responses": right,
        "response_mask": _padded([row.loss_mask for row in rows], 0),
        "rollout_log_probs": _padded([row.logprobs for row in rows], 0.0, kind=np.float32),
        "input_ids": np.concatenate([left, right], axis=1),
        "attention_mask": attention,
        "position_ids": np.maximum(np.cumsum(attention, axis=1) - 1, 0),
    }


def _samples(rows: Sequence[Rollout]) -> None:
    """Require that there are rows, and that each was drawn from its chain, to an end that is no error."""
    if not rows:
        raise ParameterError("there is no rollout to make a batch of")
    bent = next((row for row in rows if not row.is_sample), None)
    if bent is not None:
        raise ParameterError(
            f"sample {bent.sample} of prompt {bent.prompt} had branches taken back, so its log-probabilities are not "
            "those of its text; leave it out (is_sample)"
        )
    failed = next((row for row in rows if row.stop_reason == "error"), None)
    if failed is not None:
        raise ParameterError(
            f"sample {failed.sample} of prompt {failed.prompt} failed after {len(failed.token_ids)} tokens; leave it "
            "out (stop_reason)"
        )


def _padded(rows: Sequence[Sequence[Any]], filling: Any, *, left: bool = False, kind: Any = np.int64) -> NDArray[Any]:
    width = max(len(row) for row in rows)
    made = np.full((len(rows), width), filling, dtype=kind)
    for i, row in enumerate(rows):
        made[i, width - len(row) if left else 0 : width if left else len(row)] = row
    return made
