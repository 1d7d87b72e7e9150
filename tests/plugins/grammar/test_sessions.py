"""Constraints in a session: parsed results, cuts, records, resuming, branches, guesses, and models that show a head."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel, field_validator

pytest.importorskip("llguidance")

import decodekit
from decodekit import Chain, ConfigError, Disclosure, ParameterError, Session, processor, read_trace, verify
from decodekit.testing import TableAdapter
from tests.plugins.grammar.models import EOS, PIECES, model, text_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "on": {"type": "boolean"}, "n": {"type": "integer"}},
    "required": ["name", "on"],
    "additionalProperties": False,
}


class Lamp(BaseModel):
    name: str
    state: Literal["on", "off"]


class Even(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _even(cls, n: int) -> int:
        if n % 2:
            raise ValueError("n is odd")
        return n


def asked(adapter: TableAdapter) -> list[int]:
    """How many prefixes each later call of predict has."""
    calls: list[int] = []
    predict = adapter.predict

    def counting(prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
        calls.append(len(prefixes))
        return predict(prefixes, disclose)

    adapter.predict = counting  # type: ignore[method-assign]
    return calls


@pytest.mark.parametrize("forcing", ["canonical", "free"])
def test_finished_texts_are_valid_and_every_step_verifies(forcing: str) -> None:
    part = processor("json_schema", json_schema=SCHEMA, forcing=forcing)
    for seed in range(6):
        chain = [part, processor("temperature", temperature=0.25 * (seed + 1))]
        result = Session(model(seed), chain, seed=seed).generate("x", max_tokens=200)
        assert result.finish_reason == "stop" and result.complete
        jsonschema.validate(json.loads(result.text), SCHEMA)
        assert verify(result.trace).word == "proved"
        assert [step.complete for step in result.trace.steps][-2:] == [True, True]


def test_a_model_makes_the_value() -> None:
    result = Session(model(), seed=1).generate("x", schema=Lamp, max_tokens=200)
    assert isinstance(result.parsed, Lamp) and result.parsed == Lamp.model_validate_json(result.text)
    result = Session(model(), seed=1).generate("x", schema=list[bool], max_tokens=200)
    assert result.parsed == json.loads(result.text)
    result = Session(model(), seed=1).generate("x", schema=SCHEMA, max_tokens=200)
    assert result.parsed == json.loads(result.text)
    result = Session(model(), seed=1).generate("x", schema=processor("choice", choice=["ye", "no"]))
    assert result.parsed == result.text in ("ye", "no")


def test_a_text_that_was_cut_has_no_value() -> None:
    result = Session(model(), seed=1).generate("x", schema=SCHEMA, max_tokens=3)
    assert (result.finish_reason, result.complete, result.parsed) == ("length", False, None)
    number = Session(model(), seed=1).generate("x", schema={"type": "integer", "minimum": 100}, max_tokens=3)
    assert number.trace.steps[-1].complete and (number.complete, number.parsed) == (False, None)  # 123 of 1234?
    for schema, stop in (("choice", "o"), ({"type": "integer"}, "1"), ({"type": "array"}, "]")):
        given = processor("choice", choice=["no", "oo"]) if schema == "choice" else schema
        for result in Session(model(), seed=1).generate_many(["x"], n=8, schema=given, stop=[stop], max_tokens=60)[0]:
            assert result.complete == (result.token_ids[-1] == EOS) and (result.complete or result.parsed is None)
    stopped = Session(model(), seed=1).generate("x", schema=SCHEMA, stop=[":"], max_tokens=50)
    assert (stopped.finish_reason, stopped.complete, stopped.parsed) == ("stop", False, None)


def test_a_check_in_code_that_refuses_the_value_is_an_error_of_its_own() -> None:
    results = Session(model(), seed=1).generate_many(["x"], n=12, schema=Even, max_tokens=60)[0]
    odd = next(each for each in results if each.complete and json.loads(each.text)["n"] % 2)
    with pytest.raises(ParameterError, match=r"parsed: .*refuses n: .*n is odd"):
        _ = odd.parsed


@pytest.mark.parametrize("wrong", ["text", 5, [1], str.upper])
def test_what_is_no_schema_is_refused(wrong: object) -> None:
    with pytest.raises(ParameterError, match="schema"):
        Session(model()).generate("x", schema=wrong)


def test_z_is_the_mass_that_the_mask_left_and_the_weight_is_their_product() -> None:
    adapter = model(3)
    result = Session(adapter, [processor("choice", choice=["no", "ye"])], seed=5).generate("x")
    ids, total = [ord("x")], 0.0
    for step in result.trace.steps:
        scores = np.asarray(adapter._row(tuple(ids)))
        probabilities = np.exp(scores - scores.max())
        probabilities /= probabilities.sum()
        written = text_of(ids[1:])
        left = [
            i for i, piece in enumerate(PIECES) if piece and any(t.startswith(written + piece) for t in (b"no", b"ye"))
        ]
        canonical = [EOS] if written in (b"no", b"ye") else left
        kept = float(probabilities[canonical].sum())
        assert step.entries[0].kept_mass == pytest.approx(kept, rel=1e-9)
        total += math.log(kept)
        ids.append(step.token_id)
    assert result.log_weight == pytest.approx(total)
    assert Session(adapter, seed=5).generate("x", max_tokens=2).log_weight == pytest.approx(0.0, abs=1e-12)
    assert Session(adapter, "greedy", seed=5).generate("x", max_tokens=2).log_weight is None


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_mean_weight_is_the_probability_of_a_valid_text(temperature: float) -> None:
    """|z| < 5, one in 1.7 million by chance; also where a processor after the constraint changes the law."""
    adapter = model(3, spread=1.0)
    exact = 0.0
    for text in (b"no", b"n"):
        ids, total = [ord("x")], 0.0
        for token in (*text, EOS):
            scores = np.asarray(adapter._row(tuple(ids)))
            total += scores[token] - np.logaddexp.reduce(scores)
            ids.append(token)
        exact += math.exp(total)
    part = processor("choice", choice=["no", "n"], forcing="free")
    chain = [part, processor("temperature", temperature=temperature)]
    results = Session(adapter, chain, seed=5).generate_many(["x"], n=400)[0]
    only_bytes = [each for each in results if all(i < 256 or i == EOS for i in each.token_ids)]
    weights = np.array([math.exp(each.log_weight or 0.0) if each in only_bytes else 0.0 for each in results])
    assert abs(weights.mean() - exact) < 5 * weights.std() / math.sqrt(len(weights))


def test_a_run_goes_on_from_its_trace(tmp_path: Path) -> None:
    part = processor("json_schema", json_schema=SCHEMA)
    whole = Session(model(2), [part], seed=4).generate("x", max_tokens=200)
    path = tmp_path / "cut.jsonl"
    Session(model(2), [part], seed=4).generate("x", max_tokens=5, trace=path)
    (again,) = decodekit.resume(path, model(2), max_tokens=200)
    assert again.token_ids == whole.token_ids and again.complete
    assert again.log_weight == whole.log_weight
    for step, same in zip(read_trace(path).steps, whole.trace.steps[:5], strict=True):
        assert (step.complete, step.entries[0].kept_mass) == (same.complete, same.entries[0].kept_mass)


def test_a_run_that_goes_on_with_its_schema_gives_the_value() -> None:
    with pytest.raises(ConfigError, match="schema is not that of the run, whose chain begins with json_schema"):
        decodekit.resume(
            Session(model(2), seed=4).generate("x", max_tokens=3, schema=Lamp).trace, model(2), schema=Even
        )
    for given in (Lamp, Lamp.model_json_schema()):
        cut = Session(model(2), "temperature=0.5", seed=4).generate("x", max_tokens=3, schema=given)
        (again,) = decodekit.resume(cut.trace, model(2), max_tokens=200, schema=given)
        assert cut.parsed is None and again.complete
        assert again.parsed == (Lamp.model_validate_json(again.text) if given is Lamp else json.loads(again.text))


def test_a_ban_takes_steps_back_and_the_text_stays_valid() -> None:
    part = processor("json_schema", json_schema=SCHEMA)
    seen = []
    for seed in range(12):
        chain = [part, processor("temperature", temperature=4.0)]
        result = Session(model(seed), chain, seed=seed).generate("x", max_tokens=200, ban=["true"])
        assert "true" not in result.text
        jsonschema.validate(json.loads(result.text), SCHEMA)
        seen += [branch.why for step in result.trace.steps for branch in step.abandoned]
    assert seen


@pytest.mark.parametrize("forcing", ["canonical", "free"])
def test_what_is_forced_is_asked_for_in_one_call_and_changes_no_token(forcing: str) -> None:
    fixed = {"type": "object", "properties": {"hello": {"const": "name hello"}}, "required": ["hello"]}
    part = processor("json_schema", json_schema=fixed, forcing=forcing, whitespace="none")
    quick = model(1)
    calls = asked(quick)
    together = Session(quick, [part], seed=2).generate("x", max_tokens=200)

    alone = model(1)
    each = asked(alone)
    parts = Chain([part])
    parts._forcing = []
    apart = Session(alone, parts, seed=2).generate("x", max_tokens=200)
    assert together.token_ids == apart.token_ids
    assert len(calls) < len(each) == len(apart.token_ids)
    assert all(step.choice.raw_logprob is not None for step in together.trace.steps)


def test_samples_of_one_prompt_share_nothing_but_the_grammar() -> None:
    part = processor("json_schema", json_schema=SCHEMA)
    together = Session(model(1), [part], seed=3).generate_many(["x", "y"], n=4, max_tokens=200)
    for at, prompt in enumerate("xy"):
        for sample in range(4):
            alone = Session(model(1), [part], seed=3).generate(prompt, stream=at << 32 | sample, max_tokens=200)
            assert together[at][sample].token_ids == alone.token_ids


@pytest.mark.parametrize("top", [1, 20])
def test_on_a_head_the_tokens_are_those_of_the_whole_distribution(top: int) -> None:
    part = processor("json_schema", json_schema=SCHEMA)
    most = Disclosure(top, tuple(range(len(PIECES))))
    for seed in range(4):
        whole = Session(model(seed), [part], seed=seed).generate("x", max_tokens=200)
        head = Session(model(seed, most), [part], seed=seed).generate("x", max_tokens=200)
        assert head.token_ids == whole.token_ids
        assert verify(head.trace).word == "proved"
        for shown, known in zip(head.trace.steps, whole.trace.steps, strict=True):
            one, other = shown.entries[0], known.entries[0]
            assert other.kept_mass is not None
            if one.kept_mass is not None:
                assert one.kept_mass == pytest.approx(other.kept_mass, rel=1e-6)
            elif one.kept_bounds is not None:
                assert one.kept_bounds.low - 1e-9 <= other.kept_mass <= one.kept_bounds.high + 1e-9


def test_a_server_that_names_no_tokens_and_shows_too_few_is_an_error() -> None:
    session = Session(model(0, Disclosure(2)), [processor("json_schema", json_schema=SCHEMA)], seed=1)
    with pytest.raises(decodekit.DecodekitError, match="disclosed") as caught:
        session.generate("x", max_tokens=200)
    assert caught.value.partial is not None


def test_json_has_bounded_blanks_and_numbers() -> None:
    """A model that loves digits and blanks still comes to an end."""
    scores = np.full(len(PIECES), -5.0)
    scores[[ord("7"), ord(" "), ord("\n"), ord("e")]] = 9.0
    for seed in range(5):
        adapter = TableAdapter({(): scores}, len(PIECES), tokenizer=model().tokenizer)
        number = Session(adapter, [processor("json", json=False)], seed=seed).generate("x", max_tokens=60)
        assert number.complete and len(number.text) <= 24 and math.isfinite(json.loads(number.text))


def test_blanks_are_one_space_or_a_line_break_with_an_indentation() -> None:
    scores = np.full(len(PIECES), -5.0)
    scores[[ord(" "), ord("\n"), ord("]"), ord("1"), ord(",")]] = 9.0
    adapter = TableAdapter({(): scores}, len(PIECES), tokenizer=model().tokenizer)
    part = processor("json_schema", json_schema={"type": "array", "items": {"type": "integer"}})
    for seed in range(10):
        text = Session(adapter, [part], seed=seed).generate("x", max_tokens=400).text
        assert all(blank == " " or re.fullmatch(r"\n[ \t]*", blank) for blank in re.findall(r"\s+", text)), text


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("1e99", True),
        ("1e100", False),
        ("-1.5E+07", True),
        ("9" * 24, True),
        ("9" * 25, False),
        ('"' + "9" * 30 + '"', True),
    ],
)
def test_the_length_of_numbers(text: str, fine: bool) -> None:
    part = processor("json", json=False, forcing="free")
    tokens = model().tokenizer
    assert tokens is not None
    for ids in (tokens.encode(text), list(text.encode())):
        place = part.initial(decodekit.Context([0], [], tokens))
        reached = True
        for token in ids:
            if not place.mask[token]:
                reached = False
                break
            place = part.advance(place, decodekit.Choice(token, 0.0), decodekit.Context([0], [], tokens))
        assert reached == fine
