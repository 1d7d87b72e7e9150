"""The card of a data set of rollouts: where it comes from, as a README with YAML front matter (Hugging Face's form)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from decodekit.trace.columns import run_of
from decodekit.trace.header import Header

__all__ = ["card"]

_COLUMNS = (
    ("run, seed, stream", "the settings' name, and whose noise it is; `decodekit` draws the same tokens from them"),
    ("prompt, sample", "the prompt's number, which is the group, and the number among its samples"),
    ("prompt_ids, token_ids, text", "ids as the model has them; an end token is one of them, and no text"),
    ("logprobs", "of each token as it was sampled, after every processor, in nats"),
    ("model_logprobs", "of each token under the model itself, at the same weights, in nats"),
    ("loss_mask", "0 where one token alone was possible"),
    ("support_ids", "the tokens that could be drawn, where they are closed; otherwise null"),
    ("mass", "what truncations and masks left of the probability, each at its own stage"),
    ("entropies, modes", "of the model, before the chain"),
    ("stop_reason", "stop, length, context, deadline, cancelled or error"),
    ("is_sample", "false where branches were taken back: such a text was not drawn from its chain"),
    ("weights", "from which token on which weights: their fingerprints"),
)


def card(
    header: Header, prompts: int, n: int, sequences: int, tokens: int, *, missing: int = 0, failed: str = ""
) -> str:
    """The card.

    Args:
        header: of one of the sequences.
        prompts, n: how many prompts, and samples of each.
        sequences, tokens: how many were written.
        missing: how many more prompts were to be sampled when it ended early.
        failed: a sentence on sequences that failed.
    """
    adapter = header.adapter
    size = "n<1K" if sequences < 1000 else "1K<n<10K" if sequences < 10_000 else "10K<n<100K"
    origin: dict[str, Any] = {
        "model": adapter.get("model"),
        "model fingerprint": adapter.get("model_fingerprint"),
        "tokenizer fingerprint": adapter.get("tokenizer_fingerprint"),
        "adapter": adapter.get("name"),
        "chain": header.chain,
        "stop": header.stop,
        "seed": header.seed,
        "random numbers": header.rng,
        "versions": header.versions,
        "run": run_of(replace(header, prompts=[], sequences=[], given=None)),
    }
    lines = [
        *("---", "configs:", "- config_name: default", "  data_files: rollouts.parquet", "tags:", "- decodekit"),
        *("- rollouts", f"size_categories: {json.dumps([size if sequences < 100_000 else '100K<n'])}", "---", ""),
        *("# Rollouts", "", f"{sequences} sequences, {tokens} tokens: {n} samples of each of {prompts} prompts.", ""),
        *([f"It ended early: the last {missing} prompts are not in it.", ""] if missing else []),
        *([_cell(failed), ""] if failed else []),
        *("## Where they come from", "", "| what | value |", "| --- | --- |"),
        *(f"| {name} | {_cell(value)} |" for name, value in origin.items()),
        *("", "## Columns", "", "| column | what it is |", "| --- | --- |"),
        *(f"| {name} | {meaning} |" for name, meaning in _COLUMNS),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"
