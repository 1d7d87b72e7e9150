"""Profiles, the environment, and the forms in which a configuration may be written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import ConfigError, Session
from decodekit.cli.config_text import config_lines
from decodekit.config import load_config
from decodekit.testing import NGramAdapter

FILE = """
chain = "temperature=0.8 top_p=0.95"

[adapter]
name = "remote"
base_url = "http://127.0.0.1:9"
api_key_env = "KEY"

[session]
seed = 7
stop = "."

[profiles.fast.session]
max_tokens = 5

[profiles.cloud.adapter]
base_url = "https://api.example"

[profiles.local]
adapter = { type = "llamacpp", model = "smollm2" }
chain = "top_k=3 greedy"

[[profiles.plain.chain]]
name = "top_k"
top_k = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.toml"
    path.write_text(FILE)
    return path


def test_a_profile_is_laid_over_the_rest(file: Path) -> None:
    whole = load_config(file).as_data()
    assert load_config(file, profile="fast").as_data() == {**whole, "session": {**whole["session"], "max_tokens": 5}}
    adapter = load_config(file, profile="cloud").as_data()["adapter"]  # a table is merged by key
    assert adapter == {"type": "remote", "base_url": "https://api.example", "api_key_env": "KEY"}
    local = load_config(file, profile="local").as_data()
    assert local["adapter"] == {"type": "llamacpp", "model": "smollm2"}  # another plugin: nothing is left of the first
    assert (local["chain"], local["sampler"]) == ([{"name": "top_k", "top_k": 3}], {"name": "greedy"})
    plain = load_config(file, profile="plain").as_data()
    assert (plain["chain"], plain["sampler"]) == ([{"name": "top_k", "top_k": 2}], whole["sampler"])


def test_the_environment_is_laid_over_a_file_and_its_profile(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DECODEKIT__SESSION__SEED": "9",
        "DECODEKIT__SESSION__STOP": '["a", "b"]',
        "DECODEKIT__ADAPTER__MODEL": "other model",
        "DECODEKIT__ADAPTER__TYPE": "torch",  # before its parameters, whatever the order of the names
        "DECODEKIT__CHAIN": "top_k=4 greedy",
        "DECODEKIT_HOME": "of somebody else",
    }.items():
        monkeypatch.setenv(name, value)
    config = load_config(file, profile="fast")
    assert (config.session.seed, config.session.stop, config.session.max_tokens) == (9, ["a", "b"], 5)
    assert config.as_data()["adapter"] == {"type": "torch", "model": "other model"}
    assert (config.chain[0].name, config.sampler.name) == ("top_k", "greedy")
    assert config.origins == {
        ("adapter", "type"): "DECODEKIT__ADAPTER__TYPE",
        ("adapter", "model"): "DECODEKIT__ADAPTER__MODEL",
        ("chain", ""): "DECODEKIT__CHAIN",
        ("sampler", "name"): "DECODEKIT__CHAIN",
        ("session", "seed"): "DECODEKIT__SESSION__SEED",
        ("session", "stop"): "DECODEKIT__SESSION__STOP",
        ("session", "max_tokens"): "profile fast",
    }
    assert load_config(tomllib.loads(FILE)).session.seed == 7  # a dict is what a program says


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DECODEKIT__SESION__SEED", "1", "DECODEKIT__SESION__SEED names no setting; did you mean 'session'?"),
        ("DECODEKIT__SESSION", "1", "names no setting: it is DECODEKIT__SESSION__SEED, or another key"),
        ("DECODEKIT__SESSION__A__B", "1", "names no setting: it is DECODEKIT__SESSION__SEED, or another key"),
        ("DECODEKIT__ADAPTER", "torch", "names no setting: it is DECODEKIT__ADAPTER__MODEL, or another key"),
        ("DECODEKIT__CHAIN__TOP_P", "0.5", "names no setting: a chain is one text, DECODEKIT__CHAIN="),
        ("DECODEKIT__SESSION__SEED", "x", "DECODEKIT__SESSION__SEED: session.seed: must be a whole number, not 'x'"),
        ("DECODEKIT__SESSION__SED", "1", "unknown parameter 'session.sed'; did you mean 'seed'?"),
        (
            "DECODEKIT__SESSION__STOP",
            '["a',
            "STOP begins with a quote or a bracket, and is no TOML value; a variable",
        ),
        ("DECODEKIT__SESSION__STOP", "5", r"session.stop: must be .*, not 5; a variable holds a TOML value"),
        ("DECODEKIT__GUESSER__MAX_NGRAM", "3", "^DECODEKIT__GUESSER__MAX_NGRAM: parameter 'guesser.name' is missing"),
        ("DECODEKIT__CHAIN", "top_k=", "DECODEKIT__CHAIN: chain, column 7: expected a value"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=says):
        load_config(file)


@pytest.mark.parametrize(
    "base", ['chain = "top_k=3 greedy"', '[chain]\npreset = "vllm"\nparameters = {temperature = 0.0}']
)
def test_the_sampler_that_a_chain_brought_goes_with_it(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.toml"
    path.write_text(f"""
{base}
[adapter]
type = "toy"
[profiles.warm]
chain = "temperature=1.2"
[profiles.listed]
chain = [{{ name = "top_k", top_k = 2 }}]
[profiles.own]
sampler = "inverse_cdf"
""")
    assert load_config(path).sampler.name == "greedy"
    for profile in ("warm", "listed"):
        config = load_config(path, profile=profile)
        assert config.sampler.name == "multinomial" and not any(table == "sampler" for table, _ in config.origins)
    monkeypatch.setenv("DECODEKIT__CHAIN", "temperature=1.2")
    assert load_config(path).sampler.name == "multinomial"
    assert load_config(path, profile="own").sampler.name == "inverse_cdf"  # a sampler of its own stays


def test_a_wrong_value_of_a_plugin_names_the_layer_it_is_in(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(profile: str | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            load_config(file, profile=profile).check()
        return str(caught.value)

    file.write_text(FILE.replace("https://api.example", "api.example"))
    assert "base_url: an http or https URL" in told("cloud") and told("cloud").endswith("(written in profile cloud)")
    monkeypatch.setenv("DECODEKIT__ADAPTER__ATTEMPTS", "none")
    assert told().endswith("attempts: must be a whole number, not 'none' (written in DECODEKIT__ADAPTER__ATTEMPTS)")
    monkeypatch.setenv("DECODEKIT__ADAPTER__ATTEMPTS", "3")
    monkeypatch.setenv("DECODEKIT__ADAPTER__MODEL", "1234")
    assert told().endswith("where such a text has quotes of its own, such as '\"1234\"'")
    monkeypatch.delenv("DECODEKIT__ADAPTER__MODEL")
    monkeypatch.setenv("DECODEKIT__ADAPTER__TYPE", "llamacpp")
    monkeypatch.delenv("DECODEKIT__ADAPTER__ATTEMPTS")
    assert told().endswith(
        "parameter 'model' is missing (written in DECODEKIT__ADAPTER__TYPE); the parameters of remote, which it "
        "replaces, belong to that one"
    )


@pytest.mark.parametrize("secret", ["http://user:hunter2@h", "http://h/?code=hunter2"])
def test_a_secret_in_the_wrong_place_is_not_told(file: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    remote = {"type": "remote", "base_url": "http://h"}
    for wrong in (
        {**remote, "base_url": [secret]},
        {**remote, "base_url": secret},
        {**remote, "api_key_env": "sk-hunter2"},
        {**remote, "api_key_env": ["hunter2"]},
        {**remote, "attempts": secret},
    ):
        with pytest.raises(ConfigError) as caught:
            load_config({"adapter": wrong}).check()
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in "\n".join(config_lines(load_config({"adapter": wrong})))
    monkeypatch.setenv("DECODEKIT__ADAPTER__BASE_URL", f"[{secret}")
    with pytest.raises(ConfigError, match="no TOML value") as caught:
        load_config(file)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"adapter": "torch"}, 'write .adapter. and below it type = "llamacpp"'),
        ({"adapter": {"type": "toy", "name": "toy"}}, "has type and name, which mean the same; leave one out"),
        ({"adapter": {"type": "toy"}, "sampler": {"type": "greedy"}}, 'is called name: name = "greedy" below .sampler'),
        ({"adapter": {"type": "toy"}, "guesser": {"max_ngram": 3}}, 'write name = "prompt_lookup", or another guesser'),
        ({"adapter": {"type": "toy"}, "chain": [{"type": "top_k"}]}, 'name: name = "top_k" below ..chain'),
        ({"adapter": {"type": "toy"}, "chain": ["top_k=3", "greedy"]}, 'is one text: chain = "top_k=3 greedy"'),
        ({"adapter": {"type": "toy"}, "profile": {}}, "unknown parameter 'profile'; did you mean 'profiles'"),
    ],
)
def test_a_table_in_the_wrong_form_says_the_right_one(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(data)


def test_a_name_alone_below_is_a_table_to_those_above(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('guesser = "prompt_lookup"\n' + FILE + '[profiles.off]\nguesser = "none"\n')
    monkeypatch.setenv("DECODEKIT__GUESSER__MAX_NGRAM", "3")
    guesser = load_config(file).guesser
    assert guesser is not None and guesser.model_dump() == {"name": "prompt_lookup", "max_ngram": 3}
    monkeypatch.delenv("DECODEKIT__GUESSER__MAX_NGRAM")
    assert load_config(file, profile="off").guesser is None
    monkeypatch.setenv("DECODEKIT__SAMPLER", "inverse_cdf")
    monkeypatch.setenv("DECODEKIT__GUESSER", "none")
    config = load_config(file, profile="local")
    assert (config.guesser, config.sampler.name) == (None, "inverse_cdf")
    monkeypatch.setenv("DECODEKIT__CHAIN", "top_k=3 greedy")
    with pytest.raises(ConfigError, match="DECODEKIT__CHAIN ends with the sampler 'greedy', and DECODEKIT__SAMPLER is"):
        load_config(file)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"profiles": 3}, "profiles must be tables"),
        ({"profiles": {"fast": 3}}, "profiles.fast must be a table, not 3"),
        ({"profiles": {"fast": {"sesion": {}}}}, "unknown parameter 'profiles.fast.sesion'; did you mean 'session'"),
        ({"profiles": {"fist": {}}}, "no profile is named 'fast'; did you mean 'fist'"),
        ({}, r"no profile is named 'fast'; it has no \[profiles.NAME\]"),
        (
            {"profiles": {"fast": {"session": {"seed": -1}}}},
            "profile fast: session.seed: must be greater than or equal",
        ),
        ({"profiles": {"fast": {"chain": {"temperature": 0.8}}}}, r"profile fast: \[chain\] is a table"),
    ],
)
def test_a_wrong_profile_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config({"adapter": {"type": "toy"}, **change}, profile="fast")


def test_a_chain_that_is_a_table_says_how_a_list_is_written() -> None:
    with pytest.raises(
        ConfigError, match=r"write \[\[chain\]\] before each processor, with its name in name = 'top_k'"
    ):
        load_config({"adapter": {"type": "toy"}, "chain": {"top_k": 3, "temperature": 0.5}})
    with pytest.raises(ConfigError, match=r"chain ends with the sampler 'greedy', and \[sampler\] is there too"):
        load_config({"adapter": {"type": "toy"}, "chain": "greedy", "sampler": {"name": "multinomial"}})


def test_what_is_shown_is_the_same_configuration_with_its_origins(file: Path) -> None:
    config = load_config(file, profile="fast")
    lines = list(config_lines(config))
    again = load_config(tomllib.loads("\n".join(lines)))
    assert again.as_data() == config.as_data()
    shown = {line.partition("#")[0].strip(): line.partition("#")[2].strip() for line in lines}
    assert shown['type = "remote"'] == str(file) and shown["max_tokens = 5"] == "profile fast"
    assert shown["top_logprobs = 5"] == "default"


def test_secrets_are_not_shown() -> None:
    secret = "s3cr3t"
    adapter = {
        "type": "toy",
        "api_key": secret,
        "token": secret,
        "cookie": secret,
        "headers": {"X-Api-Key": secret},
        "base_url": f"https://user:{secret}@host/v1?api_key={secret}&code={secret}&top=3",
        "api_key_env": "NAME_OF_VARIABLE",
        "max_tokens": 3,
    }
    biases = [{"name": "logit_bias", "logit_bias": {"token": 2.0, " key": 1.0}}]
    data = load_config({"adapter": adapter, "chain": biases})
    text = "\n".join(config_lines(data))
    assert load_config(tomllib.loads(text)).as_data()["chain"] == biases
    assert secret not in text and "NAME_OF_VARIABLE" in text and "max_tokens = 3" in text and "top=3" in text


# -- the defaults of calls -----------------------------------------------------------------------------------------


def test_stop_ban_deadline_and_max_tokens_are_the_defaults_of_calls() -> None:
    adapter = NGramAdapter("abcabcabc")
    plain = Session(adapter, "greedy").generate("ab", max_tokens=6)
    assert plain.text == "cabcab"
    with Session(adapter, "greedy", max_tokens=6, stop="b", deadline=100) as session:
        assert session.generate("ab").text == "ca"
        assert session.generate("ab", stop=()).text == plain.text  # a call's own, in place of the session's
        assert session.generate("ab", stop="c").text == ""
        assert session.generate("ab", deadline=0, stop=()).finish_reason == "deadline"
    with Session(adapter, "greedy", max_tokens=6, stop_ids=[ord("a")]) as session:
        assert session.generate("ab").finish_reason == "stop" and session.generate("ab", stop_ids=[]).text == "cabcab"
    with Session(adapter, max_tokens=3, ban=["a"], deadline=0) as session:
        result = session.generate("ab")
        assert (result.finish_reason, result.token_ids) == ("deadline", ())
        assert result.trace.header.stop["ban"] == ["a"]
    for wrong in ({"stop": [""]}, {"ban": "text"}, {"deadline": -1}, {"stop_ids": [-1]}):
        with pytest.raises(decodekit.ParameterError):
            Session(adapter, **wrong)


def test_a_profile_and_the_defaults_of_calls_come_through_every_door(file: Path) -> None:
    with decodekit.open(file, profile="local", n_ctx=32, n_threads=1, ban=("x",)) as session:
        assert (session.adapter.info.name, session.seed, session.stop, session.ban) == ("llamacpp", 7, (".",), ("x",))
        assert session.chain.describe()["sampler"]["name"] == "greedy"
        assert session.config is not None and session.config["session"]["stop"] == ["."]
    file.write_text(FILE.replace('model = "smollm2"', 'model = "smollm2", n_ctx = 32, n_threads = 1'))
    with Session.from_config(file, profile="local") as same:
        assert same.stop == (".",)
    with pytest.raises(decodekit.ParameterError, match="have no option 'profile'"):
        decodekit.open("smollm2", profile="local")
