"""Many samples of many prompts with several chains, checked, and kept so that nothing is made twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack, cast

from decodekit.analysis.sweeps.check_running import Checked
from decodekit.analysis.sweeps.checks import CheckFunction, check_of
from decodekit.analysis.sweeps.folder import Found, SweepFolder, answer_text
from decodekit.analysis.sweeps.result import Row, Sweep
from decodekit.analysis.sweeps.units import MOST_SAMPLES, Shard, Task, Unit, units_of, warnings_of
from decodekit.analysis.sweeps.work import Checks, Output, made
from decodekit.chain import Chain
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ConfigError, ParameterError, brief, did_you_mean
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import connect
from decodekit.model.prefix import Prefix
from decodekit.session import AsyncSession, Prompt, Session
from decodekit.session.options import GenerationKeywords, GenerationOptions, checked_deadline
from decodekit.session.progress import ProgressCallback
from decodekit.types import PathLike

__all__ = ["ChainLike", "SweepKeywords", "sweep"]

ChainLike = Chain | Iterable[Callable[..., object]] | Callable[..., object] | str | None

_WHOLE = Shard()
_NO_DEADLINE = 1e9  # seconds


class SweepKeywords(TypedDict, total=False):
    """The options of `Session.generate` that `sweep` takes by keyword."""

    max_tokens: int | None
    stop: Sequence[str] | str
    stop_ids: Sequence[int]
    ban: Sequence[str]
    priority: int
    max_waiting: int


def sweep(
    model: Session | Adapter | AsyncAdapter,
    prompts: Iterable[Prompt | Task],
    chains: Mapping[str, ChainLike] | Sequence[ChainLike],
    n: int,
    *,
    check: str | re.Pattern[str] | CheckFunction | None = None,
    check_deadline: float | None = 10.0,
    seed: int | None = None,
    out: PathLike | None = None,
    shard: str | Shard = _WHOLE,
    progress: ProgressCallback | None = None,
    **options: Unpack[SweepKeywords],
) -> Sweep:
    """Sample each prompt n times with each chain, under common noise.

    Sample j of a prompt has the same random numbers by token id with every chain; see the module `units`.

    Args:
        model: a session, whose own chain plays no part, or an adapter.
        prompts: prompts, or `Task` where a check needs an answer.
        chains: chains by name, or in a list.
        n: how many samples.
        check: see `decodekit.analysis.sweeps.checks.check_of`; None checks nothing.
        check_deadline: seconds for one text; None for no limit. A text whose check fails or takes longer has an error
            in place of a value.
        seed: of all samples; the session's when None, then that of the results in ``out``, then a new one.
        out: a folder for the results. What is there is not made again, whoever made it; see
            `decodekit.analysis.sweeps.folder`. A unit that failed is tried again.
        shard: the second of eight workers is '2/8'. All have the same other arguments, a seed among them.
        progress: gets a `Progress` after each sample of this worker.
        options: max_tokens, stop, stop_ids, ban, priority and max_waiting, as for `Session.generate`.

    Returns:
        All results of this call that are there, those of other workers included.

    Raises:
        ParameterError: an empty grid; a chain, an option or a number that cannot be.
        ConfigError: a check that cannot be loaded, a folder that no sweep wrote, or shards without a seed or a folder.
        OutError: a result cannot be written.
        TypeError: an option that does not exist.
    """
    session = _session(model)
    tasks, grid, n = _tasks(prompts), _grid(chains), whole(n, "n", 1, MOST_SAMPLES)
    part = shard if isinstance(shard, Shard) else Shard.of(shard)
    call = cast(GenerationKeywords, options)
    given = _options(session, call)
    checked_by, seconds = None if check is None else check_of(check), _seconds(check_deadline)
    if part.count > 1 and out is None:
        raise ConfigError(
            "shard: the workers of a sweep share their results in a folder; name it with out, or make all here"
        )
    folder = None if out is None else SweepFolder(Path(out))
    found = Found() if folder is None else folder.read()
    chosen = _seed(session, seed, part, found)
    connect(session.adapter)
    units = list(units_of(session, tasks, [chain for _, chain in grid], n, chosen, given))
    own = [unit for unit in units if part.has(unit)]
    missing = [unit for unit in own if unit.key not in found.samples]
    identity = None if checked_by is None else checked_by.identity
    told = (progress, len(own), len(own) - len(missing))
    errors: dict[str, str] = {}
    with (
        closing(Output(folder, f"{part.index}-of-{part.count}")) as file,
        Checks(checked_by, seconds, file) as checks,
    ):
        for unit in own:
            if unit.key in found.samples and _said(found, unit, tasks, identity) is None:
                checks.add(unit.key, found.samples[unit.key]["text"], tasks[unit.task].answer)
        for unit, row in made(session, tasks, grid, missing, chosen, call, told):
            file.write(row)
            if "error" in row:
                errors[unit.key] = row["error"]
            else:
                found.samples[unit.key] = row
                checks.add(unit.key, row["text"], tasks[unit.task].answer)
        checks.finish()
    rows = [
        Row.of(unit, found.samples.get(unit.key), errors.get(unit.key), said)
        for unit in units
        for said in [checks.said.get(unit.key) or _said(found, unit, tasks, identity)]
        if unit.key in found.samples or unit.key in errors
    ]
    keys = {unit.key for unit in units}
    return Sweep(
        tasks=tasks,
        chains=[name for name, _ in grid],
        samples=n,
        seed=chosen,
        check=None if checked_by is None else checked_by.name,
        rows=rows,
        missing=len(units) - len(rows),
        repeats=[repeat for repeat in found.repeats if repeat.key in keys],
        notes=[] if folder is None else warnings_of(session, dict(grid)),
    )


def _seconds(check_deadline: float | None) -> float:
    """How long one text may take; a very long time for None and infinity."""
    try:
        given = checked_deadline(check_deadline)
    except ParameterError:
        given = 0.0
    if given == 0:
        raise ParameterError(f"check_deadline is a number of seconds for one text, above 0, not {check_deadline!r}")
    return _NO_DEADLINE if given is None else given


def _said(found: Found, unit: Unit, tasks: Sequence[Task], identity: str | None) -> Checked | None:
    """What this check said of a text in an earlier run, if it had the same answer to compare with."""
    row = None if identity is None else found.checked.get((unit.key, identity, answer_text(tasks[unit.task].answer)))
    return None if row is None else Checked(row.get("value"), row.get("vote"))


def _session(model: Session | Adapter | AsyncAdapter) -> Session:
    if isinstance(model, AsyncSession):
        raise ParameterError("a sweep is blocking code: give it a Session, or the adapter")
    return model if isinstance(model, Session) else Session(model)


def _tasks(prompts: Iterable[Prompt | Task]) -> list[Task]:
    if isinstance(prompts, str | bytes | Prefix | Task | Mapping) or not isinstance(prompts, Iterable):
        raise ParameterError(f"prompts: a sweep takes a list of prompts, not {brief(prompts)}")
    tasks = [_task(at, each if isinstance(each, Task) else Task(each)) for at, each in enumerate(prompts)]
    if not tasks:
        raise ParameterError("prompts: a sweep needs at least one")
    return tasks


def _task(at: int, task: Task) -> Task:
    """The answer as JSON data, as a check in another process and a later run have it: a tuple is a list."""
    try:
        return replace(task, answer=json.loads(answer_text(task.answer)))
    except (TypeError, ValueError, RecursionError):
        raise ParameterError(f"prompt {at}: an answer is JSON data, not {brief(task.answer)}") from None


def _grid(chains: Mapping[str, ChainLike] | Sequence[ChainLike]) -> list[tuple[str, Chain]]:
    """The chains with their names, which are different."""
    if isinstance(chains, str | Chain) or not isinstance(chains, Mapping | Sequence):
        raise ParameterError(f"chains: a sweep takes a list of chains, or chains by name, not {brief(chains)}")
    if isinstance(chains, Mapping):
        named = [(str(name), Chain.of(chain)) for name, chain in chains.items()]
    else:
        named = [(_name(given, chain), chain) for given in chains for chain in [Chain.of(given)]]
    if not named:
        raise ParameterError("chains: a sweep needs at least one; [''] is that of the model itself")
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ParameterError(f"chains: two are {twice!r}; leave one out, or give them names in a dict")
    described: dict[str, str] = {}
    for name, chain in named:
        first = described.setdefault(json.dumps(chain.describe(), sort_keys=True), name)
        if first != name:
            raise ParameterError(
                f"chains: {first!r} and {name!r} have the same parts by name and parameters, and so the same results; "
                "leave one out, or give their functions different names"
            )
    return named


def _name(given: ChainLike, chain: Chain) -> str:
    """The text it was given as; the sampler's name for one without processors, however it was given."""
    if isinstance(given, str) and given.strip():
        return " ".join(given.split())
    return repr(chain) if chain.processors else chain.links[-1].name


def _options(session: Session, options: GenerationKeywords) -> GenerationOptions:
    known = SweepKeywords.__annotations__
    other = next((name for name in options if name not in known), None)
    if other is not None:
        raise TypeError(f"a sweep has no option {other!r}{did_you_mean(other, known)}; it takes {', '.join(known)}")
    given = session.options_of(options)
    if session.deadline is not None:
        raise ParameterError("deadline: what a sweep makes must not depend on the time; use a session without one")
    return given


def _seed(session: Session, seed: int | None, part: Shard, found: Found) -> int:
    chosen = session.seed if seed is None else seed
    if chosen is None and part.count > 1:
        raise ConfigError("shards need a seed, which all workers share; without one each would draw its own")
    if chosen is None and len(found.seeds) > 1:
        raise ConfigError(f"the folder has results of {len(found.seeds)} seeds; say which one to go on with")
    if chosen is None and found.seeds:
        chosen = next(iter(found.seeds))
    return Randomness(chosen).seed
