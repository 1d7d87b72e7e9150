"""The short door: a model in one text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import AsyncSession, Chain, ConfigError, ModelNotFound, ParameterError, Session, UnknownPlugin, processor
from decodekit.plugin import registry
from decodekit.testing import NGramAdapter
from tests import families
from tests.adapters.remote.servers import TableServer

ADAPTER = NGramAdapter("the cat sat on the mat. " * 3)
CONFIG = """
[adapter]
type = "llamacpp"
model = "smollm2"
n_ctx = 128

[[chain]]
name = "top_k"
top_k = 3

[session]
seed = 4
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "app.toml"
    path.write_text(CONFIG)
    return path


def test_the_first_three_lines() -> None:
    with decodekit.open("smollm2", chain="temperature=0.8 top_p=0.95", seed=7, n_ctx=64, n_threads=1) as session:
        result = session.generate("The capital of France is", max_tokens=4)
    chain = Chain([processor("temperature", temperature=0.8), processor("top_p", top_p=0.95)])
    with Session.from_config({"adapter": {"type": "llamacpp", "model": "smollm2", "n_threads": 1}}) as same:
        same.chain = chain
        assert same.generate("The capital of France is", max_tokens=4, seed=7).token_ids == result.token_ids
    assert result.trace.header.config["chain"][0] == {"name": "temperature", "temperature": 0.8}


def test_every_form_names_the_same_adapter(config: Path) -> None:
    from decodekit.local.model_files import find_model

    for what in ("llamacpp:smollm2", str(find_model("smollm2")), find_model("smollm2"), config, str(config)):
        with decodekit.open(what, n_ctx=64) as session:
            info: Any = session.adapter.info
            assert (info.name, info.context_length) == ("llamacpp", 64)
    with decodekit.open({"adapter": {"type": "llamacpp", "model": "smollm2"}}, n_ctx=32) as session:
        assert session.adapter.info.context_length == 32


def test_a_configuration_keeps_what_is_not_replaced(config: Path) -> None:
    with decodekit.open(config) as session:
        assert session.seed == 4 and session.chain.describe()["processors"][0]["name"] == "top_k"
    with decodekit.open(config, "greedy", seed=5, max_tokens=3, metadata={"a": 1}, guesser="prompt_lookup") as session:
        assert (session.seed, session.max_tokens, session.metadata) == (5, 3, {"a": 1})
        assert session.chain.links[-1].name == "greedy" and len(session.chain.links) == 1
        assert session.guesser is not None


def test_a_folder_is_a_transformers_model() -> None:
    folder = families.folder("tiktoken")
    with decodekit.open(folder, "greedy") as session, decodekit.open(f"torch:{folder}", "greedy") as same:
        assert session.adapter.info.name == "torch"
        assert session.generate([3, 4], max_tokens=3).token_ids == same.generate([3, 4], max_tokens=3).token_ids


def test_a_url_is_a_server() -> None:
    server = TableServer("llama_server")
    for what in (server.url, f"remote:{server.url}", server.url.replace("http", "HTTP")):
        with decodekit.open(what, "top_k=3 greedy", draft=1) as session:
            assert session.generate("the cat", max_tokens=3).text


def test_an_adapter_without_a_model_has_its_colon_alone() -> None:
    decodekit.register_adapter("modelless")(_modelless)
    try:
        with decodekit.open("modelless:", text="abab", seed=1) as session:
            assert session.generate("a", max_tokens=1).text
        for name, says in (("modelless:x", "takes no model; 'modelless:' opens it"), ("modelless", "'modelless:'$")):
            with pytest.raises(ConfigError, match=says):
                decodekit.open(name)
    finally:
        registry.GROUPS["adapters"].registered.pop("modelless")


def _modelless(*, text: str = "abab") -> NGramAdapter:
    return NGramAdapter(text)


def test_an_adapter_stays_the_callers_and_aopen_is_for_tasks() -> None:
    with decodekit.open(ADAPTER, "top_k=3", seed=1) as session:
        text = session.generate("the ", max_tokens=5).text

    async def main() -> str:
        async with decodekit.aopen(ADAPTER, "top_k=3", seed=1) as session:
            assert isinstance(session, AsyncSession)
            return (await session.generate("the ", max_tokens=5)).text

    assert asyncio.run(main()) == text == Session(ADAPTER, "top_k=3", seed=1).generate("the ", max_tokens=5).text


def test_a_chain_of_functions_needs_no_name() -> None:
    def sharper(dist: Any, ctx: Any) -> Any:
        return dist.scaled(2.0)

    with decodekit.open("smollm2", sharper, n_ctx=32) as session:
        assert session.chain.links[0].call is sharper


@pytest.mark.parametrize(
    ("what", "options", "error", "message"),
    [
        ("smollm", {}, ModelNotFound, "named 'smollm'; did you mean 'smollm2'"),
        ("missing.gguf", {}, ModelNotFound, "model 'missing.gguf' does not exist"),
        ("missing.toml", {}, ConfigError, "cannot read missing.toml"),
        ("torsh:model", {}, ConfigError, "no adapter is named 'torsh'; did you mean 'torch'"),
        ("org/name", {}, ModelNotFound, "named 'hf:org/name', with allow_downloads=True"),
        ("./nodir", {}, ModelNotFound, "'./nodir': there is no such file or folder$"),
        ("x" * 300, {}, ConfigError, "a text of 300 characters, names no model; a prompt belongs into"),
        ("models/" + "word " * 99, {}, ConfigError, "a text of 502 characters, names no model"),
        ("Once upon\na time", {}, ConfigError, "a text of 16 characters, names no model"),
        ("torch", {}, ConfigError, "the adapter 'torch' needs a model behind a colon, such as 'torch:PATH'"),
        ("decodekit:torch:", {}, ConfigError, "such as 'decodekit:torch:PATH'"),
        ("remote", {}, ConfigError, "'remote' takes a URL: 'remote:http://HOST:PORT'"),
        ("remote:localhost:80", {}, ConfigError, "'remote' takes a URL: 'remote:http://localhost:80'"),
        ("http//x", {}, ConfigError, "a server is named by its URL: 'http://x'"),
        ("https://huggingface.co/org/repo", {}, ConfigError, "is a page of the hub; its model is named 'hf:org/repo'"),
        ("hf.co/o/r/blob/v1/a/m.gguf", {}, ConfigError, "its model is named 'hf:o/r/a/m.gguf@v1'"),
        ("missing.TOML", {}, ConfigError, "cannot read missing.TOML: No such file or directory$"),
        ("hf:o/r@main/m.gguf", {}, ModelNotFound, "a revision is written last, behind the file: hf:o/r/m.gguf@main"),
        ("hf:o/r/m.gguf?x", {}, ModelNotFound, "write hf:o/r/FILE.gguf, or torch:hf:o/r"),
        (5, {}, ConfigError, r"decodekit.open takes the name of a model package \('smollm2'\), .*5 is none of these"),
        ("smollm2", {"n_cxt": 5}, ParameterError, "have no option 'n_cxt'; did you mean 'n_ctx'"),
        ("smollm2", {"max_token": 5}, ParameterError, "have no option 'max_token'; did you mean 'max_tokens'"),
        ("smollm2", {"max_tokens": -1}, ConfigError, "decodekit.open: max_tokens: must be greater"),
        ("smollm2", {"sampler": "greedy"}, ParameterError, "last part of the chain: chain='top_k=40 greedy'"),
        ("smollm2", {"preset": "vllm"}, ParameterError, r"a preset is a chain: chain=Chain.preset\('vllm'\)"),
        ("smollm2", {"guesser": "prompt_lokup"}, UnknownPlugin, "did you mean 'prompt_lookup'"),
        (
            "smollm2",
            {"chain": "greedy top_k=3"},
            ConfigError,
            "'greedy' is a sampler; a chain has one",
        ),
        ("smollm2", {"chain": "topk=3"}, UnknownPlugin, "did you mean 'top_k'"),
        ("smollm2", {"chain": "top_k="}, ConfigError, "chain, column 7: expected a value for 'top_k'"),
        (ADAPTER, {"n_ctx": 5}, ParameterError, "the adapter is made already, and a session"),
    ],
)
def test_what_is_wrong_is_named_with_the_way_out(what: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decodekit.open(what, **options)


def test_the_forms_of_a_chain() -> None:
    whole = Chain.of("top_k=40 temperature=0.5 greedy")
    assert [link.name for link in whole.links] == ["top_k", "temperature", "greedy"]
    assert Chain.of(whole) is whole
    assert Chain.of(decodekit.sampler("greedy")).links[-1].name == "greedy"
    assert Chain.of(decodekit.sampler("llamacpp_dist")).links[-1].name == "llamacpp_dist"
    assert [link.name for link in Chain.of(processor("top_k", top_k=2)).links] == ["top_k", "multinomial"]
    with pytest.raises(ParameterError, match=r"Chain.of\('top_k=2'\)"):
        Chain("top_k=2")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="'llamacpp_dist' is a sampler; give it as Chain"):
        Chain([decodekit.sampler("llamacpp_dist")])
