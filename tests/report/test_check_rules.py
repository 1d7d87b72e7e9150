"""One trace for each rule of docs/trace-format.md that chance seldom meets alone, judged as by `decodekit.verify`."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import decodekit
from decodekit import Randomness
from tests.trace.forging import Line, load, packed
from tests.trace.golden_runs import NGRAM

from .checking import by_page, differences
from .recipes import TAIL, end_after, refit

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONFORMANCE = Path(__file__).parents[1] / "trace" / "conformance"
Change = Callable[[list[Line]], object]


def header(lines: list[Line]) -> dict[str, Any]:
    content: dict[str, Any] = lines[0]["content"]
    return content


def first_with_branches(lines: list[Line]) -> dict[str, Any]:
    content: dict[str, Any] = next(line["content"] for line in lines if "abandoned" in line["content"])
    return content


def unfollowed(more: Change) -> Change:
    """A branch that does not begin with the token that the scores give, and something else."""

    def change(lines: list[Line]) -> None:
        branch = first_with_branches(lines)["abandoned"][0]
        branch["token_ids"][0] ^= 1
        more(lines)

    return change


def resumed_with(**adapter: Any) -> Change:
    def change(lines: list[Line]) -> None:
        resumption = {"steps": 0, "cut": 0, "adapter": {**header(lines)["adapter"], **adapter}}
        lines.insert(1, {"kind": "resumed", "prev": "", "content": resumption})

    return change


CALL = {"id": "c1", "name": "weather", "arguments": "{", "complete": False, "fault": "the call was cut"}
CALLS: list[Any] = [
    *([], [CALL], [CALL, {**CALL, "new": 1}], [{"id": "", "name": "", "arguments": ""}], None, {}, [[]], ["x"]),
    *([{**CALL, "name": None}], [{"id": "c1", "name": "weather"}], [{**CALL, "arguments": {}}]),
    *([{**CALL, "complete": "perhaps"}], [{**CALL, "fault": 1}]),
]


def end_with(**values: Any) -> Change:
    return lambda lines: lines[-1]["content"]["ends"][0].update(values)


def ended(reason: str, *more: Change) -> Change:
    def change(lines: list[Line]) -> None:
        lines[-1]["content"]["ends"][0]["finish_reason"] = reason
        both(*more)(lines)

    return change


def step(**values: Any) -> Change:
    return lambda lines: lines[2]["content"].update(values)


def within(part: str, **values: Any) -> Change:
    return lambda lines: lines[2]["content"][part].update(values)


def adapter(**values: Any) -> Change:
    return lambda lines: header(lines)["adapter"].update(values)


def runner_up_instead(lines: list[Line]) -> None:
    """The runner-up with all that would be right if the choice had been close, which it was not."""
    content = lines[1]["content"]
    final, choice = content["final"], content["choice"]
    scores = dict(zip(final["token_ids"], final["scores"], strict=True))
    winner, second = content["token"], choice["runner_up"]
    content["token"] = second
    choice.update(runner_up=winner, logprob=choice["logprob"] + scores[second] - scores[winner])
    word = int(Randomness(header(lines)["seed"]).words([second], step=content["step"])[0])
    content["draw"].update(lane=second, word=f"{word:016x}")


def admits_the_missing(lines: list[Line]) -> None:
    """A floor from which a missing token wins, and the margin that says so."""
    content = lines[2]["content"]
    final = content["final"]
    final["floor"] = max(final["scores"])
    noise = Randomness(header(lines)["seed"]).at(content["step"]).gumbel(range(header(lines)["adapter"]["vocab_size"]))
    noise[final["token_ids"]] = -math.inf
    content["choice"].update(margin=content["choice"]["score"] - float(noise.max()), runner_up=None)


def floor_raised(lines: list[Line]) -> None:
    lines[2]["content"]["final"]["floor"] += 0.5


def one_branch_long(lines: list[Line]) -> None:
    """The second of two branches has one token, so the first cannot have come back to the same place."""
    content = first_with_branches(lines)
    first = content["abandoned"][0]
    content["abandoned"] = [
        {**first, "token_ids": [first["token_ids"][0] ^ 1]},
        {**first, "attempt": first["attempt"] + 1, "token_ids": first["token_ids"][:1]},
    ]
    at = next(at for at, line in enumerate(lines) if line["content"] is content)
    refit(lines, at)
    end_after(lines, at)


def branch_of_the_runner_up(lines: list[Line]) -> None:
    """A branch that begins with the runner-up of a close choice."""
    header(lines)["stop"]["ban"] = ["ca"]
    content = lines[1]["content"]
    content["abandoned"] = [{"why": "ca", "attempt": 0, "token_ids": [content["choice"]["runner_up"]]}]
    refit(lines, 1)


def word_of(domain: int, lane: int) -> Change:
    """A draw with the word of another address."""

    def change(lines: list[Line]) -> None:
        content = lines[2]["content"]
        noise = Randomness(header(lines)["seed"]).at(content["step"], domain)
        content["draw"].update(domain=domain, lane=lane, word=f"{int(noise.words([lane])[0]):016x}")

    return change


def support(ids: list[int], scores: list[Any], at: int = 2) -> Change:
    """Another final support, and the choice that follows from it."""

    def change(lines: list[Line]) -> None:
        lines[at]["content"]["final"] = {"token_ids": ids, "scores": scores, "floor": None}
        refit(lines, at)

    return change


def row(values: list[float], **more: Any) -> Change:
    data = base64.b64encode(np.array(values, "<f4").tobytes()).decode()
    return step(row={"token_ids": None, "dtype": "float32", "scores": data, **more})


def without_steps(lines: list[Line]) -> None:
    del lines[1:-1]
    lines[-1]["content"]["ends"][0]["tokens"] = 0


def both(*changes: Change) -> Change:
    return lambda lines: [change(lines) for change in changes]


FAR = 10**6
INTEGERS = (5.0, 5.5, 2.0**53, 1e16, 2.0**63 - 1024, 2.0**63, 1e19, 1e22, 1e300, 10**300, -5.0, -1e16)
CASES: list[tuple[str, Change]] = [
    ("banned", unfollowed(both())),
    ("banned", unfollowed(adapter(deterministic=False))),
    ("banned", unfollowed(adapter(stochastic=True))),
    ("banned", unfollowed(lambda lines: first_with_branches(lines).update(schedule={"x": 1}))),
    ("banned", unfollowed(resumed_with(model="another"))),
    ("banned", unfollowed(resumed_with())),
    ("banned", unfollowed(lambda lines: header(lines)["chain"]["processors"][0].update(distribution="x"))),
    ("banned", unfollowed(lambda lines: first_with_branches(lines)["entries"][0].update(tosses=[[0, 1]]))),
    ("banned", unfollowed(lambda lines: first_with_branches(lines)["entries"][0].update(gave_up=TAIL))),
    ("banned", one_branch_long),
    ("abandoned", lambda lines: first_with_branches(lines)["abandoned"][-1]["token_ids"].append(FAR)),
    ("abandoned", lambda lines: first_with_branches(lines)["abandoned"][-1].update(attempt=99)),
    ("abandoned", lambda lines: first_with_branches(lines)["abandoned"][-1].update(attempt=0)),
    ("ambiguous", branch_of_the_runner_up),
    ("abandoned", lambda lines: first_with_branches(lines)["abandoned"][-1].update(token_ids=[])),
    ("abandoned", lambda lines: header(lines)["stop"].update(ban=[])),
    ("abandoned", both(lambda lines: header(lines)["chain"]["sampler"].update(name="x"),
                       lambda lines: first_with_branches(lines)["abandoned"][-1].update(attempt=0))),
    ("top_p", row([0.0])),
    ("level_choice", step(final={"token_ids": [97], "scores": [0.0], "floor": None})),
    ("top_p", lambda lines: lines[2]["content"]["entries"][0]["top"][0].__setitem__(0, FAR)),
    ("top_p", lambda lines: lines[2]["content"]["raw"]["top"][0].__setitem__(0, FAR)),
    ("top_p", lambda lines: lines[2]["content"]["final"]["token_ids"].__setitem__(0, FAR)),
    ("level_full", row([0.0], token_ids=[FAR])),
    ("level_full", row([0.0])),
    ("level_full", row([0.0, math.nan])),
    ("level_full", row([0.0, math.inf])),
    ("level_full", row([-math.inf])),
    ("level_full", row([0.0, 1.0], dtype="float64")),
    ("level_full", row([0.0], dtype="float64")),
    ("level_full", row([0.0, 1.0, 2.0], dtype="float64")),
    ("level_full", row([0.0], scores="AAAAAA")),
    ("level_full", row([0.0], scores="AAAA AA==")),
    ("level_full", row([0.0], scores="AAA=AAA=")),
    ("level_full", step(row=None)),
    ("top_p", both(ended("length"), lambda lines: header(lines)["stop"].update(max_tokens=9))),
    ("top_p", both(ended("context"), adapter(context_length=6))),
    ("top_p", both(ended("context"), adapter(context_length=7))),
    ("top_p", both(ended("context"), adapter(context_length=0))),
    ("top_p", both(ended("context"), adapter(context_length=99, deterministic=False))),
    ("top_p", both(ended("context"), adapter(context_length=None))),
    ("top_p", both(ended("context"), adapter(context_length=99), resumed_with(context_length=1))),
    ("top_p", both(ended("context"), adapter(context_length=1), resumed_with(context_length=99))),
    ("top_p", both(without_steps, ended("context"), adapter(context_length=1))),
    ("provider", lambda lines: header(lines)["stop"].update(max_tokens=1)),
    ("provider", ended("length", lambda lines: header(lines)["stop"].update(max_tokens=99))),
    ("provider", without_steps),
    ("top_p", without_steps),
    ("top_p", lambda lines: lines[1]["content"]["choice"].update(runner_up=None)),
    ("top_p", within("draw", lane=3)),
    ("top_p", within("draw", domain=1)),
    ("top_p", within("draw", attempt=1)),
    ("top_p", word_of(1, 0)),
    ("level_choice", word_of(1, 0)),
    ("level_choice", word_of(2, 0)),
    ("top_p", step(draw=None)),
    ("greedy", step(draw={"domain": 0, "attempt": 0, "lane": 0, "word": "0" * 16})),
    ("top_p", runner_up_instead),
    ("floor", admits_the_missing),
    ("floor", lambda lines: adapter(vocab_size=2**20 + 1)(lines)),
    ("greedy", floor_raised),
    ("greedy", support([9, 3, 5], [1.5, 1.5, 1.5])),
    ("greedy", support([9, 3, 5], [-1.5, "-inf", -1.5])),
    ("greedy", support([9], [0.5])),
    ("inverse_cdf", support([9, 3, 5], [0.0, -2000.0, "-inf"])),
    ("inverse_cdf", support([3, 9, 5], [0.0, 0.5, -745.0])),
    ("inverse_cdf", support([3], [7.0])),
    ("top_p", support([9, 3, 5], [0.0, "-inf", -2000.0])),
    ("top_p", support([9, 3], [1e308, -1e308])),
    ("top_p", support([3], [-7.0])),
    ("top_p", lambda lines: lines[3]["content"]["final"].update(scores=[1.1e305])),
    ("top_p", lambda lines: lines[3]["content"]["final"].update(scores=[1e305])),
    ("top_p", lambda lines: lines[3]["content"]["final"].update(scores=[-1.1e305])),
    ("streams", lambda lines: header(lines)["sequences"][0].__setitem__(1, 9)),
    ("streams", lambda lines: lines[-1]["content"]["ends"].reverse()),
    *[("top_p", within("raw", support=number)) for number in INTEGERS],
    *[("top_p", step(schedule={"x": number})) for number in (-1e16, -9.2e18, -1e19)],
    ("top_p", within("choice", logprob=-1e17)),
    *[("provider", end_with(finish_reason="tool_calls", tool_calls=calls)) for calls in CALLS],
    *[("provider", lambda lines, tools=tools: header(lines).update(tools=tools)) for tools in (None, [{}], {}, ["x"])],
    *[("provider", lambda lines, one=one: header(lines).update(tool_choice=one)) for one in (None, "a", {"a": 1}, 1)],
    ("top_p", ended("error")),
    ("top_p", lambda lines: lines[-1]["content"]["ends"][0].update(error="")),
    ("top_p", lambda lines: lines[-1]["content"]["ends"][0].update(finish_reason="error", error="x")),
]  # fmt: skip


def banned_run(path: Path) -> Path:
    """A run with branches whose scores are all recorded, so that they can be drawn again."""
    chain = decodekit.Chain.of("temperature=1.3 top_p=0.95")
    decodekit.Session(NGRAM, chain, seed=7).generate("the ", max_tokens=8, ban=["ca", "do"], trace=path)
    assert first_with_branches(load(path))["final"]["floor"] is None
    return path


def test_each_rule_is_judged_as_by_verify(modules: Page, tmp_path: Path) -> None:
    banned = banned_run(tmp_path / "banned.jsonl")
    files = []
    for name, change in CASES:
        lines = load(banned if name == "banned" else CONFORMANCE / f"{name}.jsonl")
        change(lines)
        files.append(packed(lines))
    assert differences(modules, files, tmp_path / "one.jsonl") == []
    words = {found["word"] for found in by_page(modules, files)}
    assert words == {"proved", "ambiguous", "consistent", "failed", "refused"}
