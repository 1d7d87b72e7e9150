"""``decodekit audit``: how far a model's answers move with the schedule on which they are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.files import read_config
from decodekit.cli.options import JsonFlag
from decodekit.cli.output import console, number, put_json, say, show_table, table
from decodekit.errors import ConfigError
from decodekit.model.asking import blocking
from decodekit.plugin import registry
from decodekit.text.safe_text import safe_text

if TYPE_CHECKING:
    from decodekit.analysis.audit import AuditReport, Outcome
    from decodekit.model.adapter import Adapter

__all__ = ["audit"]

_STYLE = {"exact": "green", "exact as shown": "green", "numerically stable": "green", "sampling-stable": "yellow",
          "undecided": "yellow", "unstable": "bold red"}  # fmt: skip


@with_adapter_flags
def audit(
    chosen: AdapterChoice,
    axis: Annotated[
        list[str] | None,
        typer.Option("--axis", metavar="NAME", help="Only this axis, or a parameter: dtype=bfloat16. Repeatable."),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="OTHER", help="Another backend or server: a .toml, or a model.")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="TEXT", help="Two or more, in place of four short texts.")
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=2, max=4096, help="Of each text that the model writes.")] = 24,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the texts and of the draws.")] = 0,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the same results too.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a model the same questions on many schedules (batch, cache, process, threads, ...) and compare the answers.

    Each axis gets a verdict: exact (as shown, where answers are lists), numerically stable (no total variation reaches
    1e-4), sampling-stable (fewer than 1 in 100 draws flip), unstable, undecided (lists do not say), or not tested, with
    the reason. Models with planted
    faults are audited too. Exit 0: no tested axis is unstable; 1: one is, a planted fault was not caught, or an axis
    that you named has no verdict.
    """
    from decodekit.analysis.audit import audit as audit_model

    if page is not None and not page.parent.is_dir():
        raise ConfigError(f"cannot write {page}: there is no folder {str(page.parent)!r}")
    file = chosen.file()
    named = chosen.part(None if file is None else file.as_data()["adapter"])
    if named is None:
        raise ConfigError("which model? Name one with --model, or a config with -c decodekit.toml")
    with _opened(named) as adapter, _opened(None if against is None else _named(against)) as other:
        assert adapter is not None
        try:
            report = audit_model(
                adapter, named=named, against=other, axes=axis or None, prompts=prompt or None, tokens=tokens, seed=seed
            )
        except KeyboardInterrupt as interrupt:
            partial = getattr(interrupt, "partial", None)
            if partial is not None and partial.outcomes:
                _put(partial, as_json)
            raise
    _put(report, as_json)
    for control in report.controls:
        if not control.caught:
            say(f"the planted fault {control.fault!r} was not caught: this audit proves nothing on its axes")
    missed = [each.axis for each in report.outcomes if axis and each.word in ("not tested", "undecided")]
    if missed:
        say(f"not tested or not decided, though asked for: {', '.join(missed)}")
    if page is not None:
        from decodekit.cli.audit_page import page_of

        try:
            page.write_text(page_of(report), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {page}: {error.strerror}") from error
    raise typer.Exit(0 if report.stable and report.trusted and not missed else 1)


def _named(other: str) -> dict[str, Any]:
    """The adapter's table of a configuration, or of a model as `decodekit.open` takes it."""
    from decodekit.session.named_model import adapter_named, is_configuration

    return read_config(Path(other)).as_data()["adapter"] if is_configuration(other) else adapter_named(other)


@contextmanager
def _opened(named: dict[str, Any] | None) -> Iterator[Adapter | None]:
    if named is None:
        yield None
        return
    table = dict(named)
    adapter = blocking(registry.adapter(table.pop("type"), **table))
    try:
        yield adapter
    finally:
        adapter.close()


def _finite(value: Any) -> Any:
    """Infinities as texts, as JSON can hold them."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _put(report: AuditReport, as_json: bool) -> None:
    if as_json:
        put_json(_finite(report.as_data()))
    else:
        _show(report)


def _show(report: AuditReport) -> None:
    out = console()
    right = ("same bits", "max |dlogp|", "max TV", "flips", "expected")
    listing = table("axis", "verdict", *right, right=right)
    for each in report.outcomes:
        word = Text(each.word, style=_STYLE.get(each.word, "dim"))
        listing.add_row(Text(safe_text(each.axis)), word, *map(Text, _numbers(each)))
    show_table(out, listing)
    out.print()
    for each in report.outcomes:
        if each.word != "exact":
            out.print(Text.assemble((f"{safe_text(each.axis)}: ", "bold"), safe_text(each.why)))
    if not report.controls:
        out.print(Text("interrupted: the other axes and the planted faults were not looked at", style="bold red"))
        return
    caught = sum(each.caught for each in report.controls)
    out.print(Text(f"planted faults: {caught} of {len(report.controls)} caught", style="dim"))


def _numbers(outcome: Outcome) -> Sequence[str]:
    found = outcome.measured
    if found is None:
        return [""] * 5
    show: Callable[[float], str] = "{:.2g}".format
    low, high = found.expected
    return [
        f"{found.equal} of {found.places}",
        show(found.largest),
        show(found.tv_max.high),
        f"{found.flips} of {found.draws}",
        show(low) if low == high else f"{show(low)} to {show(high)}",
    ]
