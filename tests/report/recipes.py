"""Changes of a trace that only one of the checks of docs/trace-format.md can find, and some that none may."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

import decodekit
from decodekit.trace.redraw import noise_of, redraw
from decodekit.trace.verdict import Finding
from tests.trace.forging import Line, packed

Content = dict[str, Any]
TAIL = {"mass_low": 0.0, "mass_high": 0.1, "count": None, "max_logprob": "-inf"}


def forge(lines: list[Line], chance: Random) -> None:
    """One change of the header, a step or the footer, in place; sometimes with the choice that then follows."""
    places = [at for at, line in enumerate(lines) if line["kind"] == "step"]
    kind = chance.random()
    if kind < 0.2 or not places:
        holder, key, values = chance.choice(_header(lines[0]["content"]))
        holder[key] = chance.choice(values)
        return
    if kind < 0.3 and lines[-1]["kind"] == "footer":
        chance.choice(lines[-1]["content"]["ends"]).update(chance.choice(ENDS))
        return
    at = chance.choice(places)
    content = lines[at]["content"]
    if kind < 0.5:
        _invent_branches(lines, at, chance)
        return
    if kind < 0.75 and content.get("final"):
        chance.choice(SUPPORT)(content, chance)
        if chance.random() < 0.7:
            refit(lines, at)
    else:
        chance.choice(STEP)(content, chance)


def _header(header: Content) -> list[tuple[Content, str, Sequence[Any]]]:
    adapter, stop, chain = header["adapter"], header["stop"], header["chain"]
    return [
        (stop, "max_tokens", [0, 1, 2, 3, 4, 9]),
        (stop, "ban", [[], ["ca"], ["x"]]),
        (adapter, "vocab_size", [None, 5, 30, 60, 2**20 + 1, 2**33]),
        (adapter, "context_length", [None, 0, 1, 2, 4, 5, 8, 99]),
        (adapter, "deterministic", [True, False]),
        (adapter, "stochastic", [True, False]),
        (chain["sampler"], "name", ["multinomial", "greedy", "inverse_cdf", "provider", "mine"]),
        (chain["sampler"], "distribution", ["", "decodekit"]),
        (header, "level", ["choice", "proof", "full"]),
        (header, "sequences", [[[0, 1]], [[1, 0]], [[0, 0], [1, 0]], []]),
        (header, "seed", [0, 2**64 - 1]),
    ]


ENDS: list[Content] = [
    {"finish_reason": "length"},
    {"finish_reason": "context"},
    {"finish_reason": "stop"},
    {"finish_reason": "error"},
    {"finish_reason": "error", "error": ""},
    {"finish_reason": "error", "error": "x"},
    {"error": ""},
    {"tokens": 1},
]


def _row_of(values: list[float]) -> Content:
    data = base64.b64encode(np.array(values, "<f4").tobytes()).decode()
    return {"token_ids": None, "dtype": "float32", "scores": data}


def _other_ids(content: Content, chance: Random) -> None:
    big = chance.choice([10**6, 2**40])
    lists = [content["raw"]["top"], *(entry["top"] for entry in content["entries"])]
    holders = [part["token_ids"] for part in [content.get("final"), content.get("row")] if part and part["token_ids"]]
    holders += [branch["token_ids"] for branch in content.get("abandoned", ())]
    if holders and chance.random() < 0.7:
        holder = chance.choice(holders)
        holder[chance.randrange(len(holder))] = big
    else:
        chance.choice([each for each in lists if each] or [[[0, 0.0]]])[0][0] = big


def _choose(content: Content, chance: Random) -> None:
    choice = content["choice"]
    key = chance.choice(["score", "margin", "logprob"])
    if isinstance(choice[key], float):
        choice[key] += chance.choice([1e-6, -1e-6, 1e-12, 0.5])
    else:
        choice[key] = 0.5


def _set(content: Content, chance: Random) -> None:
    """One of the values below; None is as good as absent where it is allowed."""
    way, values = chance.choice(VALUES)
    *above, last = way.split(".")
    holder = content
    for key in above:
        holder = holder.get(key) or {}
    holder[last] = chance.choice(values)


STEP: list[Callable[[Content, Random], None]] = [_other_ids, _choose, _choose, _set, _set, _set, _set]
VALUES: list[tuple[str, list[Any]]] = [
    ("step", [0, 1, 2, 3]),
    ("stream", [0, 1, 2]),
    ("raw.temperature", [-1.0, 0.0, -0.0, 3.0]),
    ("choice.runner_up", [None, 0, 1, 97]),
    ("draw", [None, {"domain": 0, "attempt": 0, "lane": 1, "word": "0" * 16}]),
    ("draw.domain", [0, 1, 2]),
    ("draw.attempt", [0, 1]),
    ("draw.lane", [0, 1, 5, 97]),
    ("draw.word", ["0" * 16, "f" * 16]),
    ("row", [None, *map(_row_of, ([0.0], [0.0, math.nan], [-math.inf], [math.inf]))]),
    ("final", [None, {"token_ids": [97], "scores": [0.0], "floor": None}]),
    ("complete", [None, True]),
    ("asked", [[["why", {"top": 1}]], [["why", {"top": 0}]]]),
]


def _score(content: Content, chance: Random) -> None:
    scores = content["final"]["scores"]
    at = chance.randrange(len(scores))
    scores[at] = chance.choice([scores[at] + 0.25 if scores[at] != "-inf" else 0.0, "-inf", -900.0, 1e308, scores[-1]])


def _add_token(content: Content, chance: Random) -> None:
    final = content["final"]
    final["token_ids"].append(chance.choice([0, 1, 2, 50, 55]))
    final["scores"].append(chance.choice([0.5, "-inf", -2000.0, final["scores"][0]]))


def _remove_token(content: Content, chance: Random) -> None:
    final = content["final"]
    if len(final["scores"]) > 1:
        at = chance.randrange(len(final["scores"]))
        del final["scores"][at], final["token_ids"][at]


def _tie(content: Content, chance: Random) -> None:
    """All scores equal: the lowest id wins where there is no noise."""
    final = content["final"]
    final["scores"] = [1.5] * len(final["scores"])
    order = list(range(len(final["scores"])))
    chance.shuffle(order)
    final["token_ids"] = [final["token_ids"][i] for i in order]


def _floor(content: Content, chance: Random) -> None:
    final = content["final"]
    final["floor"] = chance.choice([None, -1.0, 0.5, 2.0, 9.0, (final["floor"] or 0.0) + chance.choice([-3, -1, 1, 3])])


SUPPORT: list[Callable[[Content, Random], None]] = [_score, _add_token, _remove_token, _tie, _floor, _floor]


def _again(lines: list[Line], at: int) -> Callable[[int], Any]:
    """What the scores of a step give at an attempt that is counted from the one before it."""
    trace = decodekit.Trace.from_bytes(packed(lines[: at + 1]))
    step = trace.steps[-1]
    before = sum(len(each.abandoned) for each in trace.steps[:-1] if each.stream == step.stream)
    return lambda more: redraw(trace, step, noise_of(trace, step, before + more))


def refit(lines: list[Line], at: int) -> None:
    """Give a step the choice and the draw that follow from its scores and branches, if any do."""
    content = lines[at]["content"]
    try:
        choice = _again(lines, at)(len(content.get("abandoned", ())))
    except (Finding, decodekit.DecodekitError):
        return
    margin = choice.margin if math.isfinite(choice.margin) else "inf"
    content["token"] = choice.token_id
    content["choice"].update(score=choice.score, margin=margin, runner_up=choice.runner_up, logprob=choice.logprob)
    content.pop("draw", None)
    if choice.draw is not None:
        draw = choice.draw
        word = f"{draw.word:016x}"
        content["draw"] = {"domain": draw.domain, "attempt": draw.attempt, "lane": draw.lane, "word": word}


def _invent_branches(lines: list[Line], at: int, chance: Random) -> None:
    """Branches before a step, with which the trace ends; most begin with the tokens that the scores give."""
    content = lines[at]["content"]
    stop, stream = lines[0]["content"]["stop"], content["stream"]
    stop["ban"] = ["ca", *stop.get("ban", ())]
    before = sum(
        len(line["content"].get("abandoned", ()))
        for line in lines[:at]
        if line["kind"] == "step" and line["content"]["stream"] == stream
    )
    branches = []
    for i in range(chance.randrange(1, 4)):
        attempt = chance.choice([i, i, i, 0]) if i else 0
        try:
            token = _again(lines, at)(attempt).token_id
        except (Finding, decodekit.DecodekitError):
            token = content["token"]
        token = chance.choice([token] * 7 + [content["token"] + 1])
        more = [token] * chance.choice([0, 0, 1])
        branches.append({"why": "ca", "attempt": before + i, "token_ids": [token, *more]})
    content["abandoned"] = branches
    if chance.random() < 0.4:
        chance.choice(branches).update(chance.choice(BRANCH))
    if chance.random() < 0.5:
        holder, key, value = chance.choice(_around(lines[0]["content"], content))
        holder[key] = value
    if chance.random() < 0.9:
        refit(lines, at)
    end_after(lines, at)


BRANCH: list[Content] = [{"why": "x"}, {"token_ids": []}, {"attempt": 0}, {"attempt": 1}, {"attempt": 2}]


def _around(header: Content, content: Content) -> list[tuple[Content, str, Any]]:
    """What makes it possible that the model answered otherwise, or the chain."""
    adapter, chain = header["adapter"], header["chain"]
    return [
        (adapter, "deterministic", False),
        (adapter, "stochastic", True),
        (content, "schedule", {"x": 1}),
        (chain["sampler"], "name", "greedy"),
        *((part, "distribution", "x") for part in chain["processors"]),
        *((entry, "tosses", [[0, 1]]) for entry in content["entries"]),
        *((entry, "gave_up", TAIL) for entry in content["entries"]),
    ]


def end_after(lines: list[Line], at: int) -> None:
    """Leave out the steps behind this one, and let the footer count those that are left."""
    footer = lines[-1]
    if footer["kind"] != "footer":
        del lines[at + 1 :]
        return
    lines[at + 1 :] = [footer]
    for end in footer["content"]["ends"]:
        steps = [line for line in lines if line["kind"] == "step" and line["content"]["stream"] == end["stream"]]
        end.update(tokens=len(steps), finish_reason="stop", error=None)
