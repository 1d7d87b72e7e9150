"""``decodekit doctor``: what is installed, and whether an adapter does what it declares."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import numpy as np
import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.honest import AgainstFlag, HonestFlag, PromptFlag, TokensFlag, TracesFlag, examine_sampler
from decodekit.cli.options import JsonFlag
from decodekit.cli.output import console, exit_code, number, put_json, say, show_table, table
from decodekit.config import Config
from decodekit.distribution import Distribution
from decodekit.errors import ConfigError, DecodekitError
from decodekit.model.adapter import Adapter
from decodekit.model.asking import BlockingAdapter
from decodekit.model.asking import blocking as as_blocking
from decodekit.model.fitness import Fitness
from decodekit.model.prefix import Prefix
from decodekit.model.stored import ask_anew, computed_apart
from decodekit.plugin.installed import OURS
from decodekit.plugin.registry import shared_names
from decodekit.session import Session
from decodekit.session.trial import CHAIN, tried
from decodekit.text.base import prompt_ids
from decodekit.text.safe_text import safe_text
from decodekit.types import Ids

__all__ = ["doctor"]

_EXTRAS = ("llamacpp", "torch", "remote", "cli", "grammar", "parquet", "query", "hub", "otel", "tui")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*;.*extra == ['\"]([\w-]+)['\"]")


@with_adapter_flags
def doctor(
    chosen: AdapterChoice,
    honest: HonestFlag = False,
    traces: TracesFlag = None,
    against: AgainstFlag = "chain",
    prompt: PromptFlag = "Once upon a time",
    tokens: TokensFlag = 2000,
    as_json: JsonFlag = False,
) -> None:
    """Show versions and extras; with an adapter, what it can do and whether two computed answers are equal.

    With a config, eight tokens are generated with its chain, and verdicts say what works and at what price. Problems
    go to stderr; exit 1 if there are any, or 2 if the adapter is named wrongly.

    With --honest it tests whether the tokens of traces, or newly drawn ones, were drawn from the laws stated for them;
    exit 1 if the evidence against it has reached 100 to 1, 2 if the test ended early without that. A server draws
    itself where it can.
    """
    if honest:
        raise typer.Exit(examine_sampler(chosen, traces or [], against, prompt, tokens, as_json))
    if traces:
        raise ConfigError("--trace is what --honest tests; `decodekit trace info` says what a trace holds")
    report: dict[str, Any] = {"versions": _versions(), "extras": _extras(), "shared_names": _shared(), "adapter": None}
    report["verdicts"] = []
    problems: list[str] = []
    wrong = 0
    config = None
    try:
        config = chosen.file()
        built = chosen.build(config)
    except DecodekitError as error:
        problems.append(str(error))
        built, wrong = None, exit_code(error)
    if built is not None:
        examined = as_blocking(built)
        try:
            report["adapter"] = _examine(examined, problems)
            verdicts = _verdicts(config, examined)
            report["verdicts"] = [each._asdict() for each in verdicts]
            problems += [
                f"{each.what}: {each.why}" for each in verdicts if each.what == CHAIN and each.word == "cannot"
            ]
        except DecodekitError as error:  # an adapter may contact its backend only at the first call
            problems.append(str(error))
        finally:
            examined.close()
    report["problems"] = problems
    if as_json:
        put_json(report)
    else:
        _show(report)
    for problem in problems:
        say(problem)
    raise typer.Exit(wrong or (1 if problems else 0))


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "decodekit": version("decodekit"),
        "numpy": np.__version__,
    }


def _extras() -> dict[str, dict[str, Any]]:
    """Which extras are installed: the versions of their packages, or the command that installs them."""
    found: dict[str, dict[str, str | None]] = {extra: {} for extra in _EXTRAS}
    for line in requires("decodekit") or []:
        match = _REQUIREMENT.match(line)
        if match and match[2] in found:
            try:
                found[match[2]][match[1]] = version(match[1])
            except PackageNotFoundError:
                found[match[2]][match[1]] = None
    return {
        extra: {
            "packages": packages,
            "install": f"pip install 'decodekit[{extra}]'" if None in packages.values() else None,
        }
        for extra, packages in found.items()
    }


def _shared() -> list[str]:
    """Names of plugins that several distributions provide: whose each name is."""
    lines = []
    for group, name, owners in shared_names():
        ways = ", ".join(f"{owner}:{name}" for owner in owners)
        whose = f"{name} is decodekit's" if owners[0] == OURS else f"{name} alone is refused"
        lines.append(f"{group}: {whose}; each is reached as {ways}")
    return lines


def _examine(adapter: Adapter, problems: list[str]) -> dict[str, Any]:
    info = adapter.info
    properties = {**asdict(info), "cheap": str(info.cheap), "most": str(info.most), "versions": dict(info.versions)}
    behind = adapter.adapter if isinstance(adapter, BlockingAdapter) else adapter
    more = getattr(behind, "capabilities", None)
    if isinstance(more, Mapping):
        properties["capabilities"] = dict(more)
    tokenizer = adapter.tokenizer
    start = [1] if tokenizer is None else prompt_ids(tokenizer, "Once upon a time")
    if tokenizer is not None and info.vocab_size not in (None, tokenizer.vocab_size):
        problems.append(f"the model has {info.vocab_size} tokens, its tokenizer {tokenizer.vocab_size}")
    if hasattr(behind, "must_draw") and behind.must_draw(2):  # no list follows a token that was drawn
        return {"info": properties, "first_answer_s": None, "same_bits": None, "drift": None}
    prefix = Prefix(start)
    begun = time.perf_counter()
    try:
        first, _ = ask_anew(adapter, prefix)
        seconds = time.perf_counter() - begun
        with suppress(DecodekitError):  # nobody asked for this one: a server of texts may have other tokens for it
            ask_anew(adapter, prefix.extend(start[-1:]))  # so that a cache of a few answers holds another
        second, stored = ask_anew(adapter, prefix)
    except DecodekitError as error:
        problems.append(f"it does not answer: {error}")
        return {"info": properties, "first_answer_s": None, "same_bits": None, "drift": None}
    answered = {"info": properties, "first_answer_s": round(seconds, 4)}
    if stored or not computed_apart([first, second]):
        return {**answered, "same_bits": None, "drift": None}
    same, drift = _compared(first, second)
    if info.deterministic and not same and first.schedule == second.schedule:
        problems.append(f"it declares itself deterministic, but the same question changed by {drift:.3g} nats")
    return {**answered, "same_bits": same, "drift": number(drift)}


def _verdicts(config: Config | None, adapter: Adapter) -> list[Fitness]:
    """What a few tokens with the config's chain show; nothing without a config."""
    if config is None:
        return []
    return tried(Session(adapter, config.build_chain(), **config.session_options()))


def _compared(first: Distribution, second: Distribution) -> tuple[bool, float]:
    """Whether two answers have the same bits, and how far apart they are, in nats."""
    ids = _shown(first)
    same = np.array_equal(ids, _shown(second)) and np.array_equal(first.scores, second.scores)
    try:
        return same, float(np.abs(first.scores_of(ids) - second.scores_of(ids)).max())
    except DecodekitError:  # heads of different tokens
        return same, float("inf")


def _shown(dist: Distribution) -> Ids:
    return dist.token_ids if dist.token_ids is not None else dist.support()


def _twice(same: bool | None, drift: Any) -> str:
    if same is None:
        return "not tested: the adapter repeats stored answers"
    return "the same bits" if same else f"changed by {drift} nats"


def _can(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "not known" if value is None else "yes" if value else "cannot"
    return safe_text(str(value))


def _show(report: dict[str, Any]) -> None:
    listing = table("", "")
    listing.show_header = False
    for name, value in report["versions"].items():
        listing.add_row(name, value)
    for extra, state in report["extras"].items():
        there = ", ".join(f"{name} {found}" for name, found in state["packages"].items() if found is not None)
        listing.add_row(f"extra {extra}", state["install"] or there)
    for line in report["shared_names"]:
        listing.add_row("shared name", safe_text(line))
    checked = report["adapter"]
    if checked is not None:
        for name, value in checked["info"].items():
            if name == "capabilities":
                for capability, can in value.items():
                    listing.add_row(f"  {capability}", _can(can))
                continue
            if isinstance(value, dict):
                value = ", ".join(f"{library} {found}" for library, found in value.items()) or None
            listing.add_row(name, "not known" if value in (None, "") else safe_text(str(value)))
        if checked["first_answer_s"] is not None:
            listing.add_row("first answer", f"{checked['first_answer_s']:.3f} s")
            listing.add_row("asked twice", _twice(checked["same_bits"], checked["drift"]))
    for each in report["verdicts"]:
        way_out = f" ({each['remedy']})" if each["remedy"] else ""
        listing.add_row(each["what"], safe_text(f"{each['word']}: {each['why']}{way_out}"))
    show_table(console(), listing)
