"""The reference page, and what the core's plugins say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

import decodekit
from decodekit import registry
from decodekit.cli.plugin_facts import Facts, doc_of, facts
from decodekit.cli.reference import reference_page
from decodekit.registry import PluginInfo

PAGE = Path(__file__).parent.parent.parent / "docs" / "plugins.md"
COMMON = [
    *("frequency_penalty", "logit_bias", "min_p", "presence_penalty", "repetition_penalty"),
    *("temperature", "top_k", "top_p", "greedy", "inverse_cdf", "multinomial"),
]


def ours() -> list[PluginInfo]:
    return [info for info in registry.plugins() if info.distribution == "decodekit" and info.group != "adapters"]


def described(name: str) -> Facts:
    return facts(next(info for info in ours() if info.name == name))


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text() == reference_page([facts(info) for info in ours()]), "run `make docs/plugins.md`"


@pytest.mark.parametrize("name", COMMON)
def test_a_common_plugin_says_everything_that_can_be_said(name: str) -> None:
    plugin = described(name)
    processor = plugin.info.group == "processors"
    assert {"Formula", "Source", "Engines"} <= plugin.doc.notes.keys()
    assert not processor or {"Edges", "Example"} <= plugin.doc.notes.keys()
    assert plugin.effect is not None and plugin.no_effect == ""
    assert bool(plugin.needs) == bool(plugin.on_a_head) == processor
    before, after = zip(*plugin.effect, strict=True)
    assert before != after, f"the example of {name} changes nothing"
    assert sum(after) == pytest.approx(1, abs=1e-12)


def test_what_a_plugin_declares_is_told_from_its_example() -> None:
    assert described("top_k").needs == "the 3 most likely tokens"
    assert described("frequency_penalty").needs.startswith("The penalised tokens by name")
    assert described("repetition_penalty").traits == ("needs logits: refuses an adapter that gives logprobs",)
    assert described("top_p").traits == ("argmax-invariant: the most likely token stays the most likely",)
    assert described("logit_bias").traits == described("greedy").traits == ()


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered in a test is forgotten after it."""
    monkeypatch.setattr(registry, "_in_process", dict(registry._in_process))


@pytest.mark.usefixtures("own_registry")
def test_a_plugin_that_says_nothing_is_described_by_what_can_be_seen() -> None:
    @decodekit.register_processor("silent")
    def silent(dist, ctx, *, silent: float):  # type: ignore[no-untyped-def]
        return dist.scaled(silent)

    plugin = facts(PluginInfo("silent", "processors", "", "", True))
    assert (plugin.documentation, plugin.doc.summary, plugin.needs, plugin.effect) == ("", "", "", None)
    page = reference_page([plugin])
    assert "### silent\n" in page and "| `silent` | number |  | required |" in page and "**" not in page
    assert doc_of(decodekit.processor("silent", silent=0.5)).text == ""


@pytest.mark.parametrize(
    ("name", "reason"), [("wants_text", "no attribute 'decode'"), ("wrong_example", "unknown parameter 'factr'")]
)
@pytest.mark.usefixtures("own_registry")
def test_why_there_is_no_picture_is_told(name: str, reason: str) -> None:
    @decodekit.register_processor("wants_text")
    def wants_text(dist, ctx):  # type: ignore[no-untyped-def]
        """Read the text."""
        return dist.top(len(ctx.tokenizer.decode(ctx.output_ids)))

    @decodekit.register_processor("wrong_example")
    def wrong_example(dist, ctx, *, factor: float = 1.0):  # type: ignore[no-untyped-def]
        """Scale.

        Example: factr = 2.0
        """
        return dist.scaled(factor)

    plugin = facts(PluginInfo(name, "processors", "", "", True))
    assert plugin.effect is None and reason in plugin.no_effect


@pytest.mark.usefixtures("own_registry")
def test_a_processor_that_tosses_is_drawn_with_a_toss() -> None:
    @decodekit.register_processor("toss")
    def toss(dist, ctx):  # type: ignore[no-untyped-def]
        """Toss."""
        return dist.top(1) if ctx.rng.uniform([0])[0] < 1 else dist

    plugin = facts(PluginInfo("toss", "processors", "", "", True))
    assert plugin.effect is not None and plugin.effect[0] == (0.38, 1.0)
