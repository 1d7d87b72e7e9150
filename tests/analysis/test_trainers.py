"""Rollouts read by the trainers themselves, where TRL or verl is installed; `docs/science.md` names the versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("torch")

import torch

import decodekit
from decodekit.analysis import mismatch, rollouts, trl_batch, trl_rollouts, verl_batch
from decodekit.analysis.trainers.rolling_out import Rollouts
from decodekit.analysis.trainers.rows import Rollout

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers and of what they import

CHAIN, TEMPERATURE = "temperature=0.7", 0.7
PROMPTS = ["The cat", "A dog saw the "]


@dataclass(frozen=True)
class Made:
    """Rollouts of a tiny transformers model, and the folder of that model."""

    model: Path
    set: Rollouts
    rows: list[Rollout]
    other: Any


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    from tests.families import folder

    model = folder("tiktoken")
    with decodekit.open(f"torch:{model}", chain=CHAIN, seed=3, dtype="float32") as session:
        written = rollouts(session, PROMPTS, 2, tmp_path_factory.mktemp("set") / "rollouts", max_tokens=6)
        yield Made(model, written, written.rows(), session.adapter)


def settings(where: Path) -> dict[str, Any]:
    return {
        "output_dir": str(where), "per_device_train_batch_size": 4, "max_steps": 1, "report_to": "none", "bf16": False,
        "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "gradient_checkpointing": False,
    }  # fmt: skip


def parts(made: Made) -> tuple[Any, Any]:
    import transformers

    return (
        transformers.AutoModelForCausalLM.from_pretrained(made.model, dtype=torch.float32),
        transformers.AutoTokenizer.from_pretrained(made.model, pad_token="</s>"),
    )


def read(made: Made) -> Any:
    """The Parquet file through the library with which both trainers read data."""
    import datasets

    return datasets.load_dataset(str(made.set.folder), split="train", cache_dir=str(made.set.folder.parent / "cache"))


def test_grpo_of_trl_takes_a_step_on_rollouts(made: Made, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not a test tool: pip install trl to run this")
    import datasets

    model, tokenizer = parts(made)
    asked: list[Any] = []

    def rolled_out(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        asked.extend(prompts)
        return trl_rollouts(made.rows)

    trainer = trl.GRPOTrainer(
        model,
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=trl.GRPOConfig(**settings(tmp_path), num_generations=2, max_completion_length=6, temperature=TEMPERATURE),
        train_dataset=datasets.Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        processing_class=tokenizer,
        rollout_func=rolled_out,
    )
    seen: list[dict[str, Any]] = []
    loss = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: (seen.append(dict(inputs)), loss(model, inputs))[1]
    ours = trl_batch(made.rows, tokenizer.pad_token_id)
    own, _, _ = trainer._get_per_token_logps_and_entropies(
        model.eval(),
        torch.from_numpy(np.concatenate([ours["prompt_ids"], ours["completion_ids"]], axis=1)),
        torch.from_numpy(np.concatenate([ours["prompt_mask"], ours["completion_mask"]], axis=1)),
        ours["completion_ids"].shape[1],
    )
    gap = (own.detach().numpy() - ours["sampling_per_token_logps"]) * ours["completion_mask"]
    assert np.abs(gap).max() < 1e-5  # the trainer's temperature is the chain's
    trainer.train()
    assert len(asked) == 4 and len(seen) == 1
    order = [
        next(i for i, ids in enumerate(ours["completion_ids"]) if np.array_equal(ids, given))
        for given in seen[0]["completion_ids"].numpy()
    ]  # the trainer shuffles them
    for name, batch in ours.items():
        assert np.allclose(batch[order], seen[0][name].numpy()), name


def test_sft_of_trl_takes_a_step_on_the_file(made: Made, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not a test tool: pip install trl to run this")
    model, tokenizer = parts(made)

    def tokens(row: dict[str, Any]) -> dict[str, Any]:
        mask = [0] * len(row["prompt_ids"]) + row["loss_mask"]
        return {"input_ids": row["prompt_ids"] + row["token_ids"], "completion_mask": mask}

    data = read(made)
    data = data.map(tokens, remove_columns=data.column_names)
    args = trl.SFTConfig(**settings(tmp_path), completion_only_loss=True, learning_rate=0.0)
    trainer = trl.SFTTrainer(model, args=args, train_dataset=data, processing_class=tokenizer)
    found = trainer.train().training_loss
    chosen = [value for row in made.rows for value, on in zip(row.model_logprobs, row.loss_mask, strict=True) if on]
    assert found == pytest.approx(-np.mean(chosen), abs=1e-4)  # the loss is that of the recorded log-probabilities


def test_dpo_of_trl_takes_a_step_on_pairs_of_the_file(made: Made, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not a test tool: pip install trl to run this")
    import datasets

    model, tokenizer = parts(made)
    rows = sorted(read(made), key=lambda row: (row["prompt"], -len(row["text"])))
    pairs = [
        {"prompt": prompt, "chosen": rows[2 * i]["text"], "rejected": rows[2 * i + 1]["text"]}
        for i, prompt in enumerate(PROMPTS)
    ]
    args = trl.DPOConfig(**settings(tmp_path))
    data = datasets.Dataset.from_list(pairs)
    trainer = trl.DPOTrainer(model, args=args, train_dataset=data, processing_class=tokenizer)
    assert trainer.train().training_loss == pytest.approx(np.log(2), abs=1e-4)  # the model is its own reference


def test_verl_computes_with_the_batch(made: Made) -> None:
    verl = pytest.importorskip("verl", reason="verl is not a test tool: pip install verl to run this")
    core = pytest.importorskip("verl.trainer.ppo.core_algos")
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_rejection_mask

    batch = verl.DataProto.from_single_dict(
        {name: torch.from_numpy(array) for name, array in verl_batch(made.rows, 0).items()}
        | {"uid": np.array([row.prompt for row in made.rows], dtype=object)}
    )
    assert len(batch) == 4 and len(batch.repeat(2).chunk(2)[0]) == 4
    tensors = batch.batch
    old = tensors["rollout_log_probs"].clone()
    for i, row in enumerate(made.rows):
        old[i, : len(row.token_ids)] = torch.tensor(row.model_logprobs)  # a trainer that left the temperature out
    _, _, found = compute_rollout_correction_and_rejection_mask(
        old_log_prob=old,
        rollout_log_prob=tensors["rollout_log_probs"],
        response_mask=tensors["response_mask"],
        rollout_is="token",
        rollout_is_threshold=2.0,
    )
    ours = mismatch(made.rows, made.other, cap=2.0)
    assert found["rollout_corr/kl"] == pytest.approx(ours.k1.value, abs=1e-4)
    assert found["rollout_corr/k3_kl"] == pytest.approx(ours.k3.value, abs=1e-4)
    rewards = torch.zeros_like(old)
    rewards[:, -1] = torch.tensor([float(len(row.text)) for row in made.rows])
    advantages, _ = core.compute_grpo_outcome_advantage(
        rewards, tensors["response_mask"], index=batch.non_tensor_batch["uid"]
    )
    assert float((advantages.sum(-1)[0] + advantages.sum(-1)[1]).abs()) < 1e-4  # of two samples of one prompt


def test_verl_pads_as_its_batches_are_padded(made: Made) -> None:
    pytest.importorskip("verl", reason="verl is not a test tool: pip install verl to run this")
    loop = pytest.importorskip("verl.experimental.agent_loop.agent_loop")
    ours = verl_batch(made.rows, 0)
    for i, row in enumerate(made.rows):
        theirs = loop.AgentLoopOutput(
            prompt_ids=row.prompt_ids, response_ids=row.token_ids, response_mask=row.loss_mask,
            response_logprobs=row.logprobs, metrics=loop.AgentLoopMetrics(),
        ).as_dict()  # fmt: skip
        for name in ("prompts", "responses", "response_mask", "rollout_log_probs"):
            length = len(theirs[name])
            given = ours[name][i][-length:] if name == "prompts" else ours[name][i][:length]
            assert given.tolist() == theirs[name].tolist() and given.dtype == theirs[name].numpy().dtype, name
