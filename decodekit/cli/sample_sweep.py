"""``decodekit sweep --samples``: many samples with several chains, and a table of what they are worth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.text import Text

from decodekit.analysis.numbers.statistics import Estimate
from decodekit.analysis.sweeps.result import Sweep
from decodekit.analysis.sweeps.sweeping import sweep
from decodekit.analysis.sweeps.units import Task
from decodekit.cli.bar import Bar
from decodekit.cli.interrupt import Interrupt
from decodekit.cli.output import console, number, put_json, say, show_table, table
from decodekit.cli.prompt_lines import prompt_lines
from decodekit.errors import ParameterError
from decodekit.session import Progress, Session
from decodekit.text.safe_text import safe_text

__all__ = ["put_sweep", "sampled", "tasks_of"]

_GRAMS = 2  # of distinct n-grams


def tasks_of(prompt: str | None, prompts: Path | None, *, chat: bool) -> list[Task]:
    """The prompt, or those of a file.

    Raises:
        ConfigError: what is wrong with which line.
    """
    lines: Iterable[dict[str, Any]]
    if prompts is None:
        lines = [{"prompt": prompt}]
    else:
        lines = [data for _, data in prompt_lines(prompts, ("prompt", "answer", "id"))]
    return [Task(_asked(line["prompt"], chat=chat), line.get("answer"), line.get("id")) for line in lines]


def _asked(prompt: Any, *, chat: bool) -> Any:
    return [{"role": "user", "content": prompt}] if chat and isinstance(prompt, str) else prompt


def sampled(session: Session, tasks: list[Task], chains: list[Any], n: int, options: dict[str, Any]) -> Sweep:
    """The sweep, with a progress bar; the arguments are those of `decodekit.analysis.sweeps.sweeping.sweep`.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once as many samples have ended as the model makes at a time, so that those
            that were begun are whole; at once after a second Ctrl-C. What is whole is kept in the folder.
    """
    total = n * len(tasks) * len(chains)
    done = tokens = 0
    begun = session.adapter.info.concurrency
    with Bar("samples", total, 0) as bar, Interrupt() as interrupt:

        def tell(told: Progress) -> None:
            nonlocal done, tokens, total, begun
            bar.step(told.tokens - tokens, failed=told.failed, by=told.done - done, total=told.total)
            done, tokens, total = told.done, told.tokens, told.total or total
            begun -= interrupt.asked
            if interrupt.asked and begun <= 0 and done < total:
                raise KeyboardInterrupt

        try:
            return sweep(session, tasks, chains, n, progress=tell, **options)
        except KeyboardInterrupt:
            out = options.get("out")
            kept = "without --out none is kept" if out is None else f"they are in {out}, and the same call goes on"
            say(f"interrupted after {done} of {total} samples: {kept}")
            raise


def put_sweep(found: Sweep, ks: list[int], *, as_json: bool) -> int:
    """Show a sweep: JSON or tables on stdout. Returns the exit code: 1 if a unit or a check failed."""
    failed = sum(row.error is not None for row in found.rows)
    unchecked = sum(row.check_error is not None for row in found.rows)
    data = _data(found, ks)
    if as_json:
        put_json(data)
    else:
        _show(data)
    for note in found.notes:
        say(note)
    if found.missing:
        say(f"{found.missing} of {found.missing + len(found.rows)} units are left to other workers")
    if failed or unchecked:
        first = next(row.error or row.check_error or "" for row in found.rows if row.error or row.check_error)
        say(f"{failed} units and {unchecked} checks failed; the same call tries them again. The first: {first}")
    return 1 if failed or unchecked else 0


def _data(found: Sweep, ks: list[int]) -> dict[str, Any]:
    different = [each for each in found.repeats if each.at is not None]
    return {
        "prompts": len(found.tasks),
        "samples": found.samples,
        "seed": found.seed,
        "check": found.check,
        "missing": found.missing,
        "chains": [_chain(found, chain, ks) for chain in found.chains],
        "against_first": [_against(found, found.chains[0], other) for other in found.chains[1:]],
        "made_twice": {
            "equal": len(found.repeats) - len(different),
            "different": [{"key": each.key, "files": list(each.files), "at": each.at} for each in different],
        },
    }


def _chain(found: Sweep, chain: str, ks: list[int]) -> dict[str, Any]:
    rows = [row for own in found.by_prompt(chain).values() for row in own]
    index = found.chains.index(chain)
    facts: dict[str, Any] = {
        "chain": chain,
        "count": len(rows),
        "failed": sum(row.error is not None for row in found.rows if row.chain == index),
        "unchecked": sum(row.check_error is not None for row in rows),
        "cut": sum(row.finish_reason in ("length", "context") for row in rows),
        "tokens": sum(len(row.token_ids) for row in rows),
        "agreement": _tried(lambda: found.agreement(chain)),
        f"distinct_{_GRAMS}": _tried(lambda: found.distinct(chain, _GRAMS)),
    }
    if found.check is not None:
        facts |= {
            "score": _tried(lambda: found.score(chain)),
            "pass_at": {str(k): _tried(lambda k=k: found.pass_at_k(chain, k)) for k in ks},
            "majority": _tried(lambda: found.majority(chain)),
            "minimum_bayes_risk": _tried(lambda: found.minimum_bayes_risk(chain)),
        }
    return facts


def _against(found: Sweep, one: str, other: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"chain": other}
    try:
        parted = found.divergence(one, other)
        facts |= {"equal_texts": parted.equal, "first_difference": number(parted.median)}
        if found.check is not None:
            saved = found.variance_saved(one, other)
            facts["variance_saved"] = None if math.isnan(saved) else saved
            facts["difference"] = _tried(lambda: found.difference(one, other))
    except ParameterError:  # nothing in common, yet
        pass
    return facts


def _tried(estimate: Any) -> dict[str, Any] | None:
    """An estimate as data; None where there is nothing to estimate it from."""
    try:
        made: Estimate = estimate()
    except ParameterError:
        return None
    error = None if math.isnan(made.error) else made.error
    ends = {"low": number(made.low), "high": number(made.high), "clusters": made.clusters}
    return {"value": made.value, "error": error, **ends}


def _show(data: dict[str, Any]) -> None:
    out = console()
    checked = data["check"] is not None
    ks = [f"pass@{k}" for k in data["chains"][0].get("pass_at", {})]
    headings = [*(("score", *ks, "majority") if checked else ()), "agreement", f"distinct-{_GRAMS}"]
    made = table("chain", *headings, right=tuple(headings))
    for chain in data["chains"]:
        cells = [chain["score"], *chain["pass_at"].values(), chain["majority"]] if checked else []
        alone = [chain["agreement"], chain[f"distinct_{_GRAMS}"]]
        made.add_row(safe_text(chain["chain"]), *map(_cell, cells), *(_cell(each, half=False) for each in alone))
    show_table(out, made)
    if any("equal_texts" in each for each in data["against_first"]):
        _show_differences(out, data, checked=checked)
    twice = data["made_twice"]
    if twice["equal"] or twice["different"]:
        out.print(Text(f"made twice: {twice['equal']} equal, {len(twice['different'])} different"))
        for each in twice["different"][:5]:
            out.print(Text(f"  {each['key']} differs at token {each['at']}: {' and '.join(each['files'])}"))


def _show_differences(out: Any, data: dict[str, Any], *, checked: bool) -> None:
    first = safe_text(data["chains"][0]["chain"])
    headings = [*(("difference", "variance saved") if checked else ()), "equal texts", "half part by"]
    made = table(f"against {first}", *headings, right=tuple(headings))
    for each in data["against_first"]:
        if "equal_texts" not in each:
            continue
        saved = each.get("variance_saved")
        cells = [_cell(each.get("difference")), "" if saved is None else f"{saved:.0%}"] if checked else []
        at = each["first_difference"]
        parted = "never" if isinstance(at, str) else f"token {at:g}"
        made.add_row(safe_text(each["chain"]), *cells, f"{each['equal_texts']:.0%}", parted)
    out.print()
    show_table(out, made)


def _cell(estimate: dict[str, Any] | None, *, half: bool = True) -> str:
    """A value, and half of its interval where that is known."""
    if estimate is None:
        return "-"
    if estimate["error"] is None or not half:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f}±{(estimate['high'] - estimate['low']) / 2:.3f}"
