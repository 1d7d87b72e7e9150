"""Claim 1: the distribution is a function of the prompt; only the draw is random."""

from functools import partial

from claim import AUDITED, BOTH, SETTINGS, Claim, smollm2, torch_smollm2

import decodekit
from decodekit.analysis.audit import audit
from decodekit.analysis.plots import plot_bars


def measure(small: bool = False) -> Claim:
    """Ask again on other schedules, draw again from the record."""
    adapter = decodekit.adapter("llamacpp", **SETTINGS)
    axes = ["repeat", "process"] if small else ["repeat", "process", "cache", "batch size", "threads"]
    tokens = 3 if small else 12
    report = audit(adapter, named={"type": "llamacpp", **SETTINGS}, axes=axes, tokens=tokens)
    runs = [smollm2().generate("The sun is", seed=seed, max_tokens=8) for seed in (1, 1, 2)]
    proved = decodekit.verify(runs[0].trace)
    other = None if small else audit(torch_smollm2(), make=torch_smollm2, axes=["repeat", "batch size"], tokens=4)

    moved = {each.axis: each.measured.places - each.measured.equal for each in report.outcomes}
    figures = (
        {f"distributions with other bits, axis {axis}": str(count) for axis, count in moved.items()}
        | {f"distributions compared on each axis, texts of {tokens} tokens": _span(report)}
        | {"planted faults caught": f"{sum(c.caught for c in report.controls)} of {len(report.controls)}"}
        | {"texts with the same seed equal": "yes" if runs[0].text == runs[1].text else "no"}
        | {"texts with another seed equal": "yes" if runs[0].text == runs[2].text else "no"}
        | {"what the record of a run proves of its draws": proved.word}
    )
    if other is not None:
        figures |= {f"torch, axis {each.axis}": _said(each.measured) for each in other.outcomes}
    return Claim(
        "A language model maps a prompt to a distribution over the next token. That map is deterministic; only the "
        "draw is random.",
        BOTH,
        figures,
        "true here",
        "A repetition has the same bits on both engines, and the draw follows from the record and the seed. With "
        "llama.cpp no schedule changes a bit. With torch the shape of a computation changes its rounding: see claim 2.",
        not any(moved.values()) and report.trusted and runs[0].text == runs[1].text != runs[2].text
        and (other is None or (other.trusted and other.outcomes[0].word == "exact")),
        partial(_plot, reports={"llama.cpp": report} if other is None else {"llama.cpp": report, "torch": other}),
        f'{AUDITED}; "The sun is"',
        ("decodekit audit --model smollm2 --axis repeat --axis process --tokens 3",),
    )  # fmt: skip


def _span(report):
    places = [each.measured.places for each in report.outcomes]
    return f"{min(places)} to {max(places)}" if min(places) < max(places) else f"{places[0]}"


def _said(found):
    return f"{found.places - found.equal} of {found.places} with other bits, by up to {found.largest:.2g} nats"


def _plot(path, reports):
    axes = list(dict.fromkeys(each.axis for report in reports.values() for each in report.outcomes))
    shares = {name: {each.axis: each.measured.equal / each.measured.places for each in report.outcomes}
              for name, report in reports.items()}  # fmt: skip
    bars = {name: [share.get(axis, float("nan")) for axis in axes] for name, share in shares.items()}
    plot_bars(path, axes, bars, x_label="share of distributions with the same bits (no bar: not measured)")
