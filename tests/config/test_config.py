"""Configurations: checked before anything is built, and never a door for code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import ConfigError, ParameterError, UnknownPlugin
from decodekit.config import load_config

# The example of the documentation.
EXAMPLE = """
[adapter]
type = "llamacpp"
model = "smollm2"          # a path, or the name of an installed model package

[[chain]]
name = "temperature"
temperature = 0.8

[[chain]]
name = "top_p"
top_p = 0.95

[sampler]
name = "multinomial"

[session]
seed = 7
max_tokens = 64
on_undisclosed = "error"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "decodekit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def minimal(**parts: Any) -> dict[str, Any]:
    return {"adapter": {"type": "llamacpp", "model": "m"}, **parts}


def test_the_documented_example_is_read_in_its_order(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, EXAMPLE))
    assert (config.adapter.type, config.adapter.parameters()) == ("llamacpp", {"model": "smollm2"})
    chain = config.build_chain()
    assert [part["name"] for part in chain.describe()["processors"]] == ["temperature", "top_p"]
    assert (chain.processors[0].temperature, chain.processors[1].top_p) == (0.8, 0.95)
    assert chain.sampler is decodekit.sampler("multinomial")
    options = config.session_options()
    assert (options["seed"], options["max_tokens"], options["on_undisclosed"]) == (7, 64, "error")
    assert load_config(config.as_data()).as_data() == config.as_data()  # the record can be read back


def test_everything_but_the_adapter_has_a_default() -> None:
    config = load_config(minimal())
    assert config.build_chain().processors == () and config.sampler.name == "multinomial"
    assert config.session_options() == {
        "seed": None, "max_tokens": 256, "on_undisclosed": "error", "top_logprobs": 5,
        "stop": [], "stop_ids": [], "ban": [], "deadline": None,
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_if_somebody_writes_to_it_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match=r"pipe.toml: it is a pipe without a writer"):
        load_config(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="neither a regular file nor a pipe"):
        load_config("/dev/null")
    reader, writer = os.pipe()  # as a shell's <(...)
    try:
        os.write(writer, b'[adapter]\ntype = "toy"\n')
        os.close(writer)
        assert load_config(f"/dev/fd/{reader}").adapter.type == "toy"
    finally:
        os.close(reader)


def test_values_that_are_nested_too_deep_are_refused_by_name() -> None:
    deep: Any = []
    deep.append(deep)
    with pytest.raises(ParameterError, match="nested too deep, or holds itself"):
        decodekit.open({"adapter": {"type": "llamacpp", "model": deep}})
    with pytest.raises(ParameterError, match=r"'logit_bias': .*nested too deep"):
        decodekit.processor("logit_bias", logit_bias=deep)


def test_numpy_numbers_of_a_dict_are_plain_ones() -> None:
    given = {"top_logprobs": np.int64(3), "max_tokens": np.int32(2), "seed": np.uint64(2**63)}
    config = load_config(
        {"adapter": {"type": "toy"}, "chain": [{"name": "top_k", "top_k": np.int8(2)}], "session": given}
    )
    assert json.loads(json.dumps(config.as_data()))["session"]["seed"] == 2**63
    assert type(config.chain[0].parameters()["top_k"]) is int


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "parameter 'adapter' is missing"),
        (minimal(adapter={"model": "m"}), r"parameter 'adapter\.type' is missing"),
        (minimal(sesion={}), "unknown parameter 'sesion'; did you mean 'session'"),
        (minimal(session={"sed": 7}), r"unknown parameter 'session\.sed'; did you mean 'seed'"),
        (minimal(session={"max_token": 7}), r"'session\.max_token'; did you mean 'max_tokens'"),
        (minimal(session={"seed": -1}), r"session\.seed: .*greater than or equal to 0"),
        (minimal(session={"seed": 2**64}), r"session\.seed"),
        (minimal(session={"seed": True}), r"session\.seed"),
        (minimal(session={"seed": "7"}), r"session\.seed"),
        (minimal(session={"max_tokens": -1}), r"session\.max_tokens"),
        (minimal(session={"max_tokens": 10_000_001}), r"session\.max_tokens"),
        (minimal(session={"top_logprobs": 1001}), r"session\.top_logprobs"),
        (minimal(session={"on_undisclosed": "guess"}), r"session\.on_undisclosed: .*'error' or 'truncate'"),
        (minimal(chain={"name": "top_p"}), "chain"),
        (minimal(chain=[{"top_p": 0.5}]), r"parameter 'chain\.0\.name' is missing"),
        (minimal(chain=[{"name": 3}]), r"chain\.0\.name"),
        (minimal(chain=[{"name": "top_k"}] * 1001), "chain"),
        (minimal(adapter="llamacpp"), "adapter"),
    ],
)
def test_a_key_or_value_that_does_not_belong_is_a_typed_error(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(data)


def test_a_parameter_of_a_plugin_is_checked_by_the_plugin() -> None:
    config = load_config(minimal(chain=[{"name": "temperature", "temprature": 0.8}]))
    with pytest.raises(ParameterError, match="processor 'temperature': unknown parameter 'temprature'; did you mean"):
        config.build_chain()
    with pytest.raises(UnknownPlugin, match="did you mean 'top_p'"):
        load_config(minimal(chain=[{"name": "topp", "top_p": 0.5}])).build_chain()
    with pytest.raises(ParameterError, match="sampler 'greedy': unknown parameter"):
        load_config(minimal(sampler={"name": "greedy", "k": 3})).build_chain()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"[adapter", "is not valid TOML"), (b"x = 1 = 2", "is not valid TOML"), (b"\xff\xfe", "is not valid TOML")],
)
def test_a_file_that_is_no_toml_is_a_typed_error(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(path)
    assert "broken.toml" in str(caught.value)


def test_a_file_that_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            load_config(path)


@pytest.mark.parametrize("name", ["planted:run", "planted.run", "planted"])
def test_a_config_never_imports_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('imported from a config')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for config in (
        minimal(chain=[{"name": name}]),
        minimal(sampler={"name": name}),
        {"adapter": {"type": name}},
    ):
        loaded = load_config(config)
        build = loaded.build_adapter if config["adapter"]["type"] == name else loaded.build_chain
        with pytest.raises(UnknownPlugin):
            build()
    assert "planted" not in sys.modules


# -- what a file may hold ------------------------------------------------------------------------------------------


HEAD = b'[adapter]\ntype = "remote"\nbase_url = "http://127.0.0.1:9"\n'


@pytest.mark.parametrize(
    "body",
    [b"x = " + b"[" * 5000 + b"]" * 5000, b"x = " + b"9" * 5000, b"x = \xff", b"x = 1\nx = 2", b"a.b = 1\na = 2"],
)
def test_what_is_no_toml_is_one_typed_error(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(HEAD + body)
    with pytest.raises(ConfigError, match=r"c\.toml is not valid TOML"):
        load_config(file)


def test_a_path_that_cannot_be_one_is_a_typed_error() -> None:
    with pytest.raises(ConfigError):
        load_config("a\0b")


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"\xef\xbb\xbf" + HEAD.replace(b"\n", b"\r\n"))
    assert load_config(file).adapter.type == "remote"
