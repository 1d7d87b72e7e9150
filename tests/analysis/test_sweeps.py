"""Sweeps in Python: common noise, what is kept and reused, workers that share a folder, failures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import CHEAP, Chain, ConfigError, Disclosure, ParameterError, Prefix, Session
from decodekit.analysis.sweeps.result import Sweep
from decodekit.analysis.sweeps.sweeping import sweep
from decodekit.analysis.sweeps.units import Task
from decodekit.model.adapter import Answer
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4
CHAINS = ["", "temperature=0.7 top_k=5"]


class Counting(NGramAdapter):
    """Counts how often it was asked for each prefix."""

    def __init__(self, text: str = TEXT) -> None:
        super().__init__(text)
        self.asked: Counter[tuple[int, ...]] = Counter()

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        self.asked.update(prefix.token_ids for prefix in prefixes)
        return super().predict(prefixes, disclose)


def go(model: Any = None, prompts: Any = ("the ", "and "), chains: Any = CHAINS, n: int = 4, **options: Any) -> Sweep:
    return sweep(NGramAdapter(TEXT) if model is None else model, list(prompts), chains, n,
                 **{"seed": 5, "max_tokens": 6} | options)  # fmt: skip


def texts(found: Sweep) -> dict[tuple[str, Any, int], str]:
    return {(found.chains[row.chain], found.tasks[row.task].prompt, row.sample): row.text for row in found.rows}


def test_a_sample_is_that_of_its_seed_and_stream_alone() -> None:
    found = go()
    assert len(found.rows) == 16 and found.missing == 0
    session = Session(NGramAdapter(TEXT))
    for row in found.rows:
        prompt, chain = found.tasks[row.task].prompt, found.chains[row.chain]
        chain = "" if chain == "multinomial" else chain
        alone = session.generate(prompt, seed=5, stream=row.stream, chain=chain, max_tokens=6)
        assert (row.text, row.token_ids) == (alone.text, alone.token_ids)


def test_neither_places_nor_neighbours_nor_numbers_change_a_sample() -> None:
    small, large = texts(go(n=2)), texts(go(prompts=["x", "and ", "the "], chains=["top_k=1", *CHAINS[::-1]], n=5))
    assert small.items() <= large.items()
    twice = go(prompts=["the ", "the "], n=3)
    assert len({(row.chain, row.stream) for row in twice.rows}) == 12  # equal prompts have different noise


def test_chains_have_common_noise_by_token_id() -> None:
    found = go(n=8)
    streams: dict[tuple[int, int], set[int]] = {}
    for row in found.rows:
        streams.setdefault((row.task, row.sample), set()).add(row.stream)
    assert all(len(each) == 1 for each in streams.values())
    same = go(chains={"one": "", "other": "temperature=1"}, n=8)
    assert same.divergence("one", "other").equal == 1 and math.isinf(same.divergence("one", "other").median)


def test_common_noise_saves_the_variance_that_the_coupling_says() -> None:
    """One token a text, so all is known: P(both draw i) = 1 / sum_j max(p_j / p_i, q_j / q_i)."""
    scores, temperature, n = np.array([1.0, 0.4, 0.0, -1.0]), 0.7, 1_500
    p, q = (np.exp(each) / np.exp(each).sum() for each in (scores, scores / temperature))
    both = 1 / np.maximum(p / p[0], q / q[0]).sum()
    apart = p[0] * (1 - p[0]) + q[0] * (1 - q[0])
    exact = 2 * (both - p[0] * q[0]) / apart
    model = TableAdapter({(): scores}, 4, tokenizer=PiecesTokenizer([b"a", b"b", b"c", b"d"]))
    chains = {"one": "", "other": f"temperature={temperature}"}
    found = sweep(model, [Task("a", "a")], chains, n, check="exact", seed=1, max_tokens=1)
    assert exact > 0.7
    assert found.variance_saved("one", "other") == pytest.approx(exact, abs=0.06)  # its error is 0.013
    for chain, law in zip(chains, (p, q), strict=True):
        right = sum(row.value == 1 for own in found.by_prompt(chain).values() for row in own)
        assert abs(right / n - law[0]) < 4 * math.sqrt(law[0] * (1 - law[0]) / n)


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    first = Counting()
    whole = go(first, out=tmp_path / "a", n=3)
    again = Counting()
    assert texts(go(again, out=tmp_path / "a", n=3)) == texts(whole) and not again.asked
    more = Counting()
    assert texts(go(more, out=tmp_path / "a", n=5)) == texts(go(n=5))
    assert 0 < more.asked.total() < first.asked.total()
    assert not go(again, out=tmp_path / "a", n=5).repeats


@pytest.mark.parametrize("change", [{"max_tokens": 7}, {"seed": 6}, {"stop": "z"}, {"ban": ["qq"]},
    {"model": Counting(TEXT + "and so on. ")}, {"chains": ["temperature=1.1", "temperature=0.7 top_k=6"]}])  # fmt: skip
def test_what_changes_a_result_changes_its_key(change: dict[str, Any], tmp_path: Path) -> None:
    before = {row.key for row in go(out=tmp_path / "a").rows}
    after = go(**change, out=tmp_path / "a")
    assert len(after.rows) == 16 and before.isdisjoint(row.key for row in after.rows)


def test_the_settings_of_an_adapter_that_is_given_as_an_object_are_in_the_keys() -> None:
    def keys(**settings: Any) -> set[str]:
        model = Counting()
        model.settings = settings  # type: ignore[attr-defined]
        return {row.key for row in go(model, n=1).rows}

    plain = keys(dtype="float32", device="cuda:0")
    assert plain == keys(dtype="float32", device="cuda:1")  # two workers
    assert plain.isdisjoint(keys(dtype="bfloat16", device="cuda:0") | keys(dtype="float32", device="cpu"))


def test_workers_share_a_sweep_and_a_rival_is_compared(tmp_path: Path) -> None:
    model = Counting()
    parts = [go(model, out=tmp_path / "a", n=8, shard=f"{i}/3") for i in (1, 2, 3)]
    assert [part.missing > 0 for part in parts] == [True, True, False]
    once, alone = Counting(), Counting()
    assert texts(parts[-1]) == texts(go(once, n=8)) and not parts[-1].repeats
    assert not go(alone, out=tmp_path / "a", n=8).missing and not alone.asked
    go(out=tmp_path / "b", n=2)
    (file,) = (tmp_path / "b").iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1]["token_ids"][2] += 1
    (tmp_path / "a" / "rival.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    repeats = go(out=tmp_path / "a", n=2).repeats
    assert Counter(each.at for each in repeats) == {None: 7, 2: 1}
    assert next(each.key for each in repeats if each.at == 2) == lines[1]["key"]


def test_a_torn_line_is_made_again_and_a_foreign_one_refused(tmp_path: Path) -> None:
    whole = texts(go(out=tmp_path / "a"))
    (file,) = (tmp_path / "a").iterdir()
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])
    model = Counting()
    assert texts(go(model, out=tmp_path / "a")) == whole and model.asked
    (tmp_path / "a" / "other.jsonl").write_text('{"text": "mine"}\n')
    with pytest.raises(ConfigError, match=r"other\.jsonl, line 1"):
        go(out=tmp_path / "a")


def test_a_failed_unit_is_an_error_row_and_is_tried_again(tmp_path: Path) -> None:
    prompts = ["the ", [999], "and ", []]
    found = go(prompts=prompts, out=tmp_path / "a", n=2)
    assert [row.task for row in found.rows if row.error] == [1, 1, 3, 3] * 2
    assert "prompt 1: token id 999" in str(next(row.error for row in found.rows if row.error))
    others: dict[str, Any] = {"prompts": ["the ", "and "], "n": 2}
    assert texts(go(**others, out=tmp_path / "a")) == texts(go(**others))
    assert len(list((tmp_path / "a").iterdir())) == 1  # nothing was made, so no file
    go(prompts=prompts, out=tmp_path / "a", n=2)
    assert len(list((tmp_path / "a").iterdir())) == 2


def test_the_models_own_chain_has_one_name_however_it_is_given() -> None:
    given: list[Any] = ["", " ", None, Chain(), []]
    assert [go(chains=[each], n=1).chains for each in given] == [["multinomial"]] * 5
    assert go(chains=["greedy"], n=1).chains == go(chains=[Chain.of("greedy")], n=1).chains == ["greedy"]


def test_a_seed_is_taken_from_the_folder_and_shared_by_workers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="need a seed"):
        go(out=tmp_path / "a", seed=None, shard="1/2")
    first = go(out=tmp_path / "a", seed=None)
    assert go(out=tmp_path / "a", seed=None).seed == first.seed
    go(out=tmp_path / "a", seed=first.seed ^ 1)
    with pytest.raises(ConfigError, match="2 seeds"):
        go(out=tmp_path / "a", seed=None)


def test_notes_say_what_a_key_cannot_tell(tmp_path: Path) -> None:
    def favour(dist: Any, ctx: Any) -> Any:
        return dist

    table = TableAdapter({(): [0.0] * 257}, 257, tokenizer=NGramAdapter("x").tokenizer)
    notes = go(table, chains={"mine": [favour]}, out=tmp_path / "a").notes
    assert len(notes) == 2 and "no fingerprint" in notes[0] and "'favour'" in notes[1]
    assert not go(out=tmp_path / "b").notes and not go(table).notes


@pytest.mark.parametrize(("wrong", "message"), [
    ({"prompts": []}, "at least one"), ({"chains": []}, "at least one"), ({"n": 0}, "n"),
    ({"chains": ["top_k=2", "top_k=2"]}, "two are"), ({"chains": "top_k=2"}, "list of chains"),
    ({"chains": {"x": "top_k=2", "y": "top_k=2"}}, "'x' and 'y' have the same parts"),
    ({"chains": {"x": [lambda dist, _: dist], "y": [lambda dist, _: dist.top(1)]}}, "the same parts"),
    ({"prompts": [5]}, "a prompt is"), ({"prompts": [Task("x", {1, 2})]}, "an answer is JSON"),
    ({"shard": "3/2"}, "3/2"), ({"shard": "half"}, "second of eight"),
    ({"shard": "1/2"}, "name it with out"), ({"stop_ids": [300]}, "outside the vocabulary"),
    ({"check": "what"}, "none of exact"), ({"check": "regex:("}, "no regular expression"),
    ({"check": str.upper}, "takes the text and the answer"), ({"check_deadline": 0}, "check_deadline .* above 0"),
    ({"check_deadline": math.nan}, "check_deadline .* above 0"), ({"check_deadline": "1"}, "check_deadline .* above 0"),
    ({"model": Session(NGramAdapter(TEXT), deadline=3)}, "deadline"),
])  # fmt: skip
def test_what_cannot_be_swept_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(decodekit.DecodekitError, match=message):
        go(**wrong)


def test_an_unknown_option_and_one_that_a_sweep_cannot_have() -> None:
    with pytest.raises(TypeError, match="max_tokens"):
        go(max_token=3)
    with pytest.raises(TypeError, match="deadline"):
        go(deadline=3.0)
    with pytest.raises(ParameterError, match="no chain 'top'"):
        go().score("top")
