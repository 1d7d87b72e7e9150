"""A key is nowhere: not in a repr, a record, a configuration, a schema, a message or an error."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import decodekit
from decodekit import Chain, ConfigError, ParameterError, Session
from decodekit.config import load_config
from decodekit.plugin import parameter_model
from decodekit.plugin.registry import load

from .texts import TABLE

KEY = 81_985_529_216_486_895
SPELLINGS = (
    str(KEY),
    hex(KEY)[2:],
    hex(KEY)[2:].upper(),
    KEY.to_bytes(8, "big").hex(),
    KEY.to_bytes(8, "little").hex(),
)
MARKS: list[tuple[str, str, dict[str, Any]]] = [
    ("processors", "kgw", {"kgw": 2.0}),
    ("processors", "unigram", {"unigram": 2.0}),
    ("processors", "synthid", {"synthid": 5}),
    ("samplers", "gumbel_watermark", {"gumbel_watermark": "vllm"}),
]
every = pytest.mark.parametrize(("group", "name", "parameters"), MARKS, ids=[name for _, name, _ in MARKS])


def build(group: str, name: str, **parameters: Any) -> Any:
    return (decodekit.processor if group == "processors" else decodekit.sampler)(name, **parameters)


def chain_of(group: str, mark: Any) -> Chain:
    return Chain([mark]) if group == "processors" else Chain([], mark)


def hides(text: object) -> bool:
    return not [spelling for spelling in SPELLINGS if spelling in str(text)]


@every
def test_the_key_is_in_no_description(group: str, name: str, parameters: dict[str, Any], tmp_path: Path) -> None:
    mark = build(group, name, key=SecretStr(hex(KEY)), **parameters)
    chain = chain_of(group, mark)
    shown = [repr(mark), str(mark), mark.model_dump(), mark.model_dump_json(), repr(chain), chain.describe()]
    assert all(map(hides, shown)) and mark.secret == (KEY,)
    path = tmp_path / "run.jsonl"
    Session(TABLE, chain, seed=1).generate([1], max_tokens=12, trace=path, level="full")
    written = path.read_text()
    assert hides(written) and mark.commitment in written and len(mark.commitment) == 32


@every
def test_a_plain_key_is_refused_and_not_repeated(
    group: str, name: str, parameters: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in ({"key": KEY}, {"key": str(KEY)}, {"key_env": str(KEY)}, {"key_env": KEY}, {"commitment": str(KEY)}):
        with pytest.raises(ParameterError) as caught:
            build(group, name, **wrong, **parameters)
        assert f"{next(iter(wrong))}: " in str(caught.value) and hides(caught.value)
        assert caught.value.__context__ is None and caught.value.__cause__ is None
        with pytest.raises(ValueError) as direct:
            load(group, name)[0](**wrong, **parameters)
        assert hides(direct.value)
    assert hides(caplog.text)


@every
@pytest.mark.parametrize("text", ["", "key", f"{KEY}x", f"{KEY}.5", f"{KEY}{KEY}", "-1", "0x", "1,,2"])
def test_a_key_that_is_no_number_is_refused_and_not_repeated(
    group: str, name: str, parameters: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParameterError, match=r"key: .*whole number.* decimal or with 0x") as caught:
        build(group, name, key=SecretStr(text), **parameters)
    assert hides(caught.value)
    monkeypatch.setenv("WATERMARK_KEY", text)
    with pytest.raises(ParameterError, match=r"key_env: .*WATERMARK_KEY") as caught:
        build(group, name, key_env="WATERMARK_KEY", **parameters)
    assert hides(caught.value)


@every
def test_a_configuration_names_the_variable(
    group: str, name: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERMARK_KEY", f" {KEY}\n")
    part = {"name": name, "key_env": "WATERMARK_KEY", **parameters}
    data = {"adapter": {"type": "remote", "base_url": "http://127.0.0.1:9"}}
    data |= {"chain": [part]} if group == "processors" else {"sampler": part}  # type: ignore[dict-item]
    config = load_config(data)
    config.check()
    chain = config.build_chain()
    mark = chain.sampler if group == "samplers" else chain.processors[0]
    assert mark == build(group, name, key_env="WATERMARK_KEY", **parameters) and mark.secret == (KEY,)
    assert hides(json.dumps(config.as_data())) and hides(chain.describe())
    monkeypatch.delenv("WATERMARK_KEY")
    with pytest.raises(ConfigError, match="variable WATERMARK_KEY is not set"):
        config.check()


@every
def test_exactly_one_key_is_given(group: str, name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="key_env is missing"):
        build(group, name, **parameters)
    with pytest.raises(ParameterError, match="both given"):
        build(group, name, key="public", key_env="WATERMARK_KEY", **parameters)
    assert build(group, name, key="public", **parameters).model_dump()["key"] == "public"


@every
def test_a_commitment_recognises_its_key(group: str, name: str, parameters: dict[str, Any]) -> None:
    mark = build(group, name, key=SecretStr(hex(KEY)), **parameters)
    again = build(group, name, key=SecretStr(str(KEY)), commitment=mark.commitment, **parameters)
    assert again.commitment == mark.commitment
    with pytest.raises(ParameterError, match="made of another key"):
        build(group, name, key=SecretStr(str(KEY + 1)), commitment=mark.commitment, **parameters)
    with pytest.raises(ParameterError, match="never the key; give the chain with its key"):
        build(group, name, commitment=mark.commitment, **parameters)


def test_a_commitment_is_to_scheme_width_and_key() -> None:
    secret = SecretStr(str(KEY))
    marks = [
        *(
            build("processors", "kgw", kgw=2.0, key=secret, scheme=scheme)
            for scheme in ("lefthash", "selfhash", "philox")
        ),
        build("processors", "kgw", kgw=2.0, key=secret, context_width=2),
        build("processors", "unigram", unigram=2.0, key=secret),
        *(build("processors", "synthid", synthid=length, key=secret) for length in (4, 5)),
        *(build("samplers", "gumbel_watermark", gumbel_watermark=form, key=secret) for form in ("vllm", "sglang")),
    ]
    assert len({mark.commitment for mark in marks}) == len(marks)
    stronger = build("processors", "kgw", kgw=5.0, key=secret)  # the same mark, only stronger
    assert stronger.commitment == marks[0].commitment


def test_the_schema_takes_no_key() -> None:
    rule = parameter_model(load("processors", "kgw")[0]).model_json_schema()["properties"]["key"]
    assert rule["anyOf"] == [{"const": "public"}, {"type": "null"}]


def test_copies_have_the_key_and_it_cannot_be_changed() -> None:
    mark = build("processors", "kgw", kgw=2.0, key=SecretStr(str(KEY)))
    for other in (copy.copy(mark), copy.deepcopy(mark), pickle.loads(pickle.dumps(mark))):
        assert other == mark and other.secret == (KEY,)
    with pytest.raises(ValueError, match="frozen"):
        mark.commitment = "0" * 32


DETECTORS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    *(("processors", "kgw", {"kgw": 2.0, "scheme": scheme, "context_width": 2}, {"vocab_size": 60})
      for scheme in ("lefthash", "selfhash", "philox")),
    ("processors", "unigram", {"unigram": 2.0}, {}),
    ("processors", "synthid", {"synthid": 3}, {}),
    *(("samplers", "gumbel_watermark", {"gumbel_watermark": form, "start": start, "context_width": 2}, {})
      for form in ("vllm", "sglang") for start in ("ordinary", "marked")),
]  # fmt: skip


@pytest.mark.parametrize(("group", "name", "parameters", "asked"), DETECTORS, ids=str)
def test_a_text_in_which_no_token_counts_is_no_evidence(
    group: str, name: str, parameters: dict[str, Any], asked: dict[str, Any]
) -> None:
    mark = build(group, name, key="public", **parameters)
    for length in range(4):
        found = mark.detect([3, 1, 2][:length], **asked)
        assert 0 <= found.scored <= length
        if not found.scored:
            assert (found.statistic, found.p_value) == (0.0, 1.0)
    assert mark.detect([], **asked).scored == 0
