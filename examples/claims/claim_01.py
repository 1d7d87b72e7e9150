"""Claim 1: the distribution is a function of the prompt; only the draw is random."""

from claim import SETTINGS, SMOLLM2, Claim, smollm2

import decodekit
from decodekit.analysis.audit import audit


def measure(small: bool = False) -> Claim:
    """Ask again on other schedules, draw again from the record."""
    adapter = decodekit.adapter("llamacpp", **SETTINGS)
    axes = ["repeat", "process"] if small else ["repeat", "process", "cache", "batch size", "threads"]
    tokens = 3 if small else 12
    report = audit(adapter, named={"type": "llamacpp", **SETTINGS}, axes=axes, tokens=tokens)
    runs = [smollm2().generate("The sun is", seed=seed, max_tokens=8) for seed in (1, 1, 2)]
    proved = decodekit.verify(runs[0].trace)

    moved = {each.axis: each.measured.places - each.measured.equal for each in report.outcomes}
    return Claim(
        "A language model maps a prompt to a distribution over the next token. That map is deterministic; only the "
        "draw is random.",
        SMOLLM2,
        {f"distributions with other bits, axis {axis}": str(count) for axis, count in moved.items()}
        | {f"distributions compared on each axis, texts of {tokens} tokens": _span(report)}
        | {"planted faults caught": f"{sum(c.caught for c in report.controls)} of {len(report.controls)}"}
        | {"texts with the same seed equal": "yes" if runs[0].text == runs[1].text else "no"}
        | {"texts with another seed equal": "yes" if runs[0].text == runs[2].text else "no"}
        | {"what the record of a run proves of its draws": proved.word},
        "true here",
        "No bit of any distribution changes with the schedule, and the draw follows from the record and the seed. "
        "Where the shape of a computation changes its rounding it is false: see claim 2.",
        not any(moved.values()) and report.trusted and runs[0].text == runs[1].text != runs[2].text,
    )


def _span(report):
    places = [each.measured.places for each in report.outcomes]
    return f"{min(places)} to {max(places)}" if min(places) < max(places) else f"{places[0]}"
