"""The reference page, and what the core's plugins say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

import decodekit
from decodekit.cli.plugin_facts import Facts, doc_of, facts
from decodekit.cli.reference import reference_page
from decodekit.plugin import registry
from decodekit.plugin.registry import PluginInfo

PAGE = Path(__file__).parent.parent.parent / "docs" / "plugins.md"
NO_PICTURE = {
    **dict.fromkeys(("token_healing", "vllm_bad_words"), "needs a tokenizer"),  # and the sample has none
    **dict.fromkeys(("choice", "json", "json_schema", "lark", "regex", "tools"), "needs a tokenizer"),
    "provider": "draws nothing itself",
}


def ours() -> list[PluginInfo]:
    every = registry.plugins()
    return [info for info in every if info.distribution == "decodekit" and info.group in ("processors", "samplers")]


def names() -> list[str]:
    return [info.name for info in ours()]


def described(name: str) -> Facts:
    return facts(next(info for info in ours() if info.name == name))


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text() == reference_page([facts(info) for info in ours()]), "run `make docs/plugins.md`"


def test_those_without_a_picture_are_there() -> None:
    assert NO_PICTURE.keys() <= set(names()) and len(names()) > 40


@pytest.mark.parametrize("name", names())
def test_a_plugin_of_ours_says_everything_that_can_be_said(name: str) -> None:
    plugin = described(name)
    processor = plugin.info.group == "processors"
    assert {"Formula", "Edges", "Source", "Engines"} <= plugin.doc.notes.keys()
    assert "`" not in plugin.doc.notes["Formula"] and plugin.doc.notes["Formula"].isascii()
    assert list(plugin.parameters)[:1] in ([], [name]), "the main parameter comes first"
    if processor:
        assert "Example" in plugin.doc.notes and plugin.needs and plugin.on_a_head
    if name in NO_PICTURE:
        assert plugin.effect is None and NO_PICTURE[name] in plugin.no_effect
        return
    assert plugin.effect is not None and plugin.no_effect == ""
    before, after = zip(*plugin.effect, strict=True)
    assert before != after, f"the example of {name} changes nothing"
    assert sum(after) == pytest.approx(1, abs=1e-12)


def test_what_a_plugin_declares_is_told_from_its_example() -> None:
    assert described("top_k").needs == "the 3 most likely tokens"
    assert described("frequency_penalty").needs.startswith("The penalised tokens by name")
    assert described("repetition_penalty").traits == ("needs logits: refuses an adapter that gives logprobs",)
    assert described("top_p").traits == ("argmax-invariant: the most likely token stays the most likely",)
    assert described("logit_bias").traits == described("greedy").traits == ()


def test_what_acts_at_the_first_step_is_drawn_there() -> None:
    effect = described("forced_bos").effect
    assert effect is not None and effect[2] == (0.13, 1.0)


def test_a_parameter_that_says_what_it_means_is_told_with_it() -> None:
    top_p = described("top_p")
    assert top_p.parameters["min_keep"]["meaning"] == "at least this many tokens stay"
    assert "meaning" not in top_p.parameters["top_p"]
    assert described("dry").parameters["window"]["meaning"].startswith("how many of the most recent")
    page = reference_page([top_p, described("inverse_cdf"), described("top_n_sigma")])
    assert "| `min_keep` | integer | >= 1, <= 1000000 | `1` | at least this many tokens stay |" in page
    assert "| `top_p` | number | > 0, <= 1 | required |  |" in page


def test_types_of_nested_parameters_can_be_read() -> None:
    assert described("sequence_bias").parameters["sequence_bias"]["type"] == (
        "array of [string or array of integer, number or False]"
    )
    assert described("bad_words").parameters["bad_words"]["type"] == "array of (string or array of integer)"
    assert described("logit_bias").parameters["logit_bias"]["type"] == "object of (number or False)"
    assert described("temperature").parameters["temperature"]["type"] == "number or 'inf'"
    assert described("forced_bos").parameters["forced_bos"]["bounds"] == ">= 0, < 2**63"


@pytest.mark.usefixtures("own_processors")
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
@pytest.mark.usefixtures("own_processors")
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


@pytest.mark.usefixtures("own_processors")
def test_a_random_processor_is_shown_with_its_random_number() -> None:
    @decodekit.register_processor("toss")
    def toss(dist, ctx):  # type: ignore[no-untyped-def]
        """Toss."""
        return dist.top(1) if ctx.rng.uniform([0])[0] < 1 else dist

    plugin = facts(PluginInfo("toss", "processors", "", "", True))
    assert plugin.effect is not None and plugin.effect[0] == (0.38, 1.0)
