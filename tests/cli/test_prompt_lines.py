"""What a line of ``--prompts`` may be: everything else is refused by its number, before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from decodekit import Chain
from decodekit.cli.prompt_lines import PromptFile
from decodekit.cli.results_file import ResultsFile
from decodekit.errors import ConfigError
from tests.cli.conftest import TOY

WRONG = [
    ('{"prompt": "x", "max_token": 3}', "there is no option 'max_token'; did you mean 'max_tokens'?"),
    ('{"prompt": "x", "max_tokens": -1}', "max_tokens"),
    ('{"prompt": "x", "seed": -1}', "seed"),
    ('{"prompt": "x", "seed": 1.5}', "seed"),
    ('{"prompt": "x", "stop": [""]}', "a stop string must be text"),
    ('{"prompt": "x", "stop_ids": "a"}', "stop_ids"),
    ('{"prompt": "x", "ban": "a"}', "ban is a list"),
    ('{"prompt": "x", "chain": "top_pp=1"}', "did you mean 'top_p'"),
    ('{"prompt": "x", "chain": "top_p="}', "chain, column 7"),
    ('{"prompt": "x", "chain": [1]}', "chain is text, as for --chain"),
    ('{"prompt": "x", "sampler": "greedi"}', "did you mean 'greedy'"),
    ('{"prompt": "x", "chain": "top_k=2 greedy", "sampler": "greedy"}', "ends with a sampler of its own"),
    ('{"prompt": "x", "id": [1]}', "an id is text or a whole number"),
    ('{"prompt": [1, "a"]}', "a prompt is text, a list of token ids or a list of messages"),
    ('{"prompt": [true]}', "a prompt is text"),
    ('{"prompt": {"role": "user"}}', "a prompt is text"),
    ('{"prompt": null}', "a prompt is text"),
    ('{"prompt": NaN}', "it is not JSON: NaN"),
    ('{"text": "x"}', "with the key 'prompt'"),
    ("[1, 2]", "with the key 'prompt'"),
    ("3", "with the key 'prompt'"),
    ("the", "it is not JSON"),
    ("[" * 100_000, "it is not JSON"),
]


@pytest.mark.parametrize(("line", "message"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'"fine"\n\n{line}\n')
    with pytest.raises(ConfigError, match=r"in\.jsonl, line 3: ") as caught:
        PromptFile(path, {}, False, 1).check()
    assert message in str(caught.value)


def test_lines_are_read_as_they_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('"the"\n' * 3 + "no JSON\n")
    file = PromptFile(path, {}, False, 1)
    items = list(islice(file.items([], 7, Chain()), 3))
    assert [item.call["stream"] for item in items] == [0, 1, 2] and len({item.key for item in items}) == 3
    assert len({item.call["seed"] for item in items}) == 1


def test_all_that_a_result_depends_on_is_in_its_key(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"

    def key(line: Any, call: Any = None, settings: Any = "m", seed: int = 7, chain: str = "multinomial") -> str:
        path.write_text(json.dumps(line))
        (item,) = PromptFile(path, call or {}, False, 1).items(settings, seed, Chain([], chain))
        return item.key

    one = {"prompt": "x"}
    keys = [
        key(one), key({"prompt": "y"}), key(one, settings="n"), key(one, seed=8), key(one, chain="greedy"),
        key(one, {"stop": ("a",)}), key({**one, "max_tokens": 3}), key({**one, "seed": 7}), key({**one, "ban": ["a"]}),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key({**one, "chain": "greedy"}) == keys[4]
    assert key("x") == key(one) == key({**one, "id": 5}) and key({**one, "sampler": "greedy"}) == keys[4]
    assert key({**one, "max_tokens": 3}) == key(one, {"max_tokens": 3})


def test_a_file_of_something_else_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for content in ('{"key": "a"}\n', "text\n", '{"key": 1, "run_seed": 2}\n', "[]\n"):
        path.write_text(content)
        with pytest.raises(ConfigError, match="line 1, was not written by --out"):
            ResultsFile(path)
        assert path.read_text() == content


def test_wrong_calls(one_after_another: Callable[..., list[tuple[int, str, str]]], tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('"the"\n')
    run = ["generate", *TOY, "--prompts", "in.jsonl", "--out", "out.jsonl"]
    wrong = [
        ([*run, "the"], "give either PROMPT or --prompts"),
        (run[:-2], "--prompts needs --out FILE"),
        (["generate", "x", *TOY, "--out", "o.jsonl"], "--out is for the results of --prompts"),
        ([*run, "--trace", "t.jsonl"], "--trace is for one prompt"),
        ([*run, "--level", "proof"], "--level is for one prompt"),
        ([*run, "--json"], "--json is for one prompt"),
        ([*run, "--deadline", "1"], "--deadline is for one prompt"),
        ([*run, "-n", "0"], "n must be an integer from 1"),
        ([*run, "--seed", "-1"], "seed"),
        (["generate", *TOY, "--prompts", "no.jsonl", "--out", "o"], "'no.jsonl' does not exist"),
        (["generate", *TOY, "--prompts", "-", "--out", "o"], "stdin is read once only"),
        (["generate", *TOY, "--prompts", "/dev/null", "--out", "o"], "is no regular file"),
        ([*run[:-1], "no/out.jsonl"], "there is no folder 'no'"),
        ([*run[:-1], "."], "'.' is a directory"),
        ([*run[:-1], "in.jsonl"], "in.jsonl, line 1, was not written by --out"),
        ([*run, "--guesser", "prompt_lookup max_ngrams=3"], "did you mean 'max_ngram'?"),
        ([*run, "--guesser", "prompt_lockup"], "did you mean 'prompt_lookup'?"),
        ([*run, "--guesser", "prompt_lookup 3"], "--guesser, column 15"),
    ]
    for (call, message), (code, out, err) in zip(wrong, one_after_another([call for call, _ in wrong]), strict=True):
        assert (code, out) == (2, "") and message in err and err.count("\n") == 1, (call, code, err)
    assert not (tmp_path / "out.jsonl").exists()
