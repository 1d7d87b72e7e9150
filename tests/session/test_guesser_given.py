"""How a guesser is given: to a session, to a call, by name and in a configuration."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import decodekit
from decodekit import (
    AsyncSession,
    ConfigError,
    ParameterError,
    PluginError,
    Prefix,
    Result,
    Session,
    UnknownPlugin,
)
from decodekit.config import load_config
from decodekit.testing import NGramAdapter
from tests.session.conftest import TEXT
from tests.session.test_guessing import PROMPT, Knowing, Says, counted, same


def test_a_session_has_a_guesser_and_a_call_may_have_its_own_or_none() -> None:
    asked: list[str] = []

    def named(name):
        return Says(lambda *_: asked.append(name) or [])

    session = Session(counted(NGramAdapter(TEXT)), guesser=named("session"), seed=1)
    session.generate(PROMPT, max_tokens=10)
    assert set(asked) == {"session"}
    asked.clear()
    session.generate(PROMPT, max_tokens=10, guesser=named("call"))
    assert set(asked) == {"call"}
    asked.clear()
    session.generate(PROMPT, max_tokens=10, guesser="none")
    assert asked == []


def test_a_guesser_by_name_in_code_and_in_a_configuration() -> None:
    session = Session(NGramAdapter(TEXT), guesser={"name": "prompt_lookup", "max_ngram": 4})
    assert session.guesser == decodekit.guesser("prompt_lookup", max_ngram=4)
    config = {"adapter": {"type": "llamacpp", "model": "x"}, "guesser": {"name": "fixed", "fixed": "a text"}}
    read = load_config(config)
    assert read.build_guesser() == decodekit.guesser("fixed", fixed="a text")
    assert read.as_data()["guesser"] == config["guesser"]
    del config["guesser"]
    assert "guesser" not in load_config(config).as_data()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("prompt_lokup", UnknownPlugin, "did you mean 'prompt_lookup'"),
        ({"name": "prompt_lookup", "n": 3}, ParameterError, "'n'"),
        ({"max_ngram": 3}, ConfigError, "'name'"),
        (lambda *_: [], ParameterError, r"guess\(prefix, ctx\)"),
        ([1, 2], ParameterError, r"guess\(prefix, ctx\)"),
    ],
)
def test_what_is_no_guesser_is_refused_at_once(given, error, message) -> None:
    with pytest.raises(error, match=message):
        Session(NGramAdapter(TEXT), guesser=given)
    with pytest.raises(error, match=message):
        Session(NGramAdapter(TEXT)).generate(PROMPT, guesser=given)


def test_a_guesser_that_refuses_the_tokenizer_is_an_error_before_the_first_token() -> None:
    class Picky(Says):
        def check(self, tokenizer):
            raise ConfigError("other tokens")

    adapter = counted(NGramAdapter(TEXT))
    with pytest.raises(ConfigError, match="other tokens"):
        Session(adapter).generate(PROMPT, guesser=Picky(lambda *_: []))
    assert adapter.asked == []


class Remote:
    """An async adapter."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.info, self.tokenizer = inner, inner.info, inner.tokenizer
        self.most = 0

    async def apredict(self, prefixes, disclose):
        self.most = max(self.most, len(prefixes))
        return self.inner.predict(prefixes, disclose)

    async def aclose(self):
        pass


def test_an_async_adapter_is_not_asked_for_guesses_and_that_is_noted(capfd, caplog) -> None:
    remote = Remote(NGramAdapter(TEXT))
    alone = Session(NGramAdapter(TEXT), seed=1).generate(PROMPT, max_tokens=20)
    with Session(remote, seed=1, guesser=Knowing(alone.token_ids)) as session:
        assert session.generate(PROMPT, max_tokens=20).token_ids == alone.token_ids
    assert remote.most == 1 and "guesser not used" in capfd.readouterr().err + caplog.text


@pytest.mark.parametrize("quick", [True, False])
def test_an_async_session_guesses_too(quick) -> None:
    adapter = counted(NGramAdapter(TEXT))
    alone = Session(adapter, seed=1).generate(PROMPT, max_tokens=60)
    guesser = Knowing(alone.token_ids, frozenset({30}))
    guesser.quick = quick
    adapter.asked.clear()

    async def go() -> Result:
        return await AsyncSession(adapter, seed=1, guesser=guesser).generate(PROMPT, max_tokens=60)

    same(asyncio.run(go()), alone)
    assert len(adapter.asked) < 40


def test_a_prefix_of_a_guess_is_an_ancestor_of_the_next() -> None:
    adapter = counted(NGramAdapter(TEXT))
    session = Session(adapter, seed=1)
    ids = session.generate(PROMPT, max_tokens=20).token_ids
    adapter.asked.clear()
    session.generate(PROMPT, max_tokens=20, guesser=Knowing(ids))
    longest, _ = max(adapter.asked, key=lambda asked: len(asked[0]))
    assert all(isinstance(prefix, Prefix) for prefix in longest)
    assert [prefix.parent for prefix in longest[1:]] == longest[:-1] and len(longest) > 2


def test_a_session_from_a_configuration_closes_the_draft_that_it_built(monkeypatch) -> None:
    closed: list[str] = []

    class Closing(NGramAdapter):
        def __init__(self, name: str) -> None:
            super().__init__(TEXT)
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            super().close()

    monkeypatch.setattr(decodekit, "adapter", lambda type: Closing(type))  # noqa: A006 - as in a configuration
    monkeypatch.setattr("decodekit.plugin.registry.adapter", lambda type: Closing(type))  # noqa: A006
    config: dict[str, Any] = {"adapter": {"type": "model"}, "guesser": {"name": "draft", "draft": {"type": "draft"}}}
    with Session.from_config(config) as session:
        guessed = session.generate(PROMPT, max_tokens=20, seed=1)
        assert guessed.token_ids == session.generate(PROMPT, max_tokens=20, seed=1, guesser="none").token_ids
        assert guessed.trace.header.config["guesser"] == config["guesser"]
    assert sorted(closed) == ["draft", "model"]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_guesser_whose_check_fails_is_named(error) -> None:
    class Odd:
        def check(self, tokenizer):
            raise error

        def guess(self, prefix, ctx):
            return []

    with pytest.raises(PluginError, match=f"Odd.*check of the tokenizer raised {error.__name__}"):
        Session(NGramAdapter(TEXT)).generate("the ", max_tokens=2, guesser=Odd())
