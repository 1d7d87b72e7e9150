"""One application: a configuration of which only the part [adapter] is exchanged, and all that is done with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import decodekit
from decodekit import Session
from tests.trials.commands import commands

__all__ = ["PROMPT", "Swapped", "scored", "tried"]

PROMPT = "The capital of France is"
APPLICATION = """
[[chain]]
name = "temperature"
temperature = 0.8

[[chain]]
name = "top_p"
top_p = 0.95

[session]
seed = 7
max_tokens = 6
"""


@dataclass(frozen=True)
class Swapped:
    """What an application sees of one backend.

    Attributes:
        verdicts: what `doctor -c` says, by what it is about.
        result: of `generate -c --json`.
        refused: why it failed; '' where it did not.
        verdict: the word of `verify`.
    """

    folder: Path
    verdicts: dict[str, Any]
    result: dict[str, Any]
    refused: str
    verdict: str

    @property
    def draws(self) -> str:
        """Who draws: 'decodekit' or 'provider', by the trace."""
        sampler = decodekit.read_trace(self.folder / "run.jsonl").header.chain["sampler"]["name"]
        return "provider" if sampler == "provider" else "decodekit"


def tried(folder: Path, adapter: dict[str, Any]) -> Swapped:
    """Every command of the application with this [adapter]; what is true of every backend is asserted here."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in adapter.items()]
    (folder / "app.toml").write_text("\n".join(["[adapter]", *lines]) + "\n" + APPLICATION)
    check, doctor, generate, verify = commands(
        folder,
        ["config", "check", "app.toml"],
        ["doctor", "-c", "app.toml", "--json"],
        ["generate", "-c", "app.toml", PROMPT, "--trace", "run.jsonl", "--json"],
        ["verify", "run.jsonl", "--json"],
    )
    assert check[0] == 0 and check[1].startswith(f"app.toml: ok ({adapter['type']}; temperature top_p; multinomial)")
    verdicts = {each["what"]: each for each in json.loads(doctor[1])["verdicts"]}
    (result,) = json.loads(generate[1])["results"]
    chain = verdicts["this chain"]
    if chain["word"] == "cannot":  # the doctor foretells what a call says, and both name the way out
        assert doctor[0] == generate[0] == 1 and result["error"] in chain["why"] and result["error"] in generate[2]
    else:
        assert (doctor[0], generate[0]) == (0, 0), (doctor, generate)
        assert all(line.startswith("decodekit: the provider draws") for line in generate[2].splitlines()), generate
        assert result["finish_reason"] in ("length", "stop") and 0 < len(result["token_ids"]) <= 6
    steps = decodekit.read_trace(folder / "run.jsonl").steps
    assert "".join(step.text for step in steps) == result["text"] and verify[0] == 0
    return Swapped(folder, verdicts, result, result["error"] or "", json.loads(verify[1])["word"])


def scored(folder: Path, texts: list[str]) -> list[float]:
    """The log-probabilities of continuations, with the same configuration."""
    with Session.from_config(folder / "app.toml") as session:
        return [session.score(PROMPT, text).total for text in texts]
