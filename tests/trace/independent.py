"""A verifier written from docs/trace-format.md and docs/RNG.md alone: nothing of decodekit is imported here."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

Data = dict[str, Any]
Result = tuple[str, int | None]
CORE = ("multinomial", "greedy", "inverse_cdf", "provider")
STRENGTH = ("failed", "consistent", "ambiguous", "proved")


class Wrong(Exception):
    """A check failed: the word of the step."""

    def __init__(self, word: str = "failed") -> None:
        self.word = word


def digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def number(value: Any) -> float:
    return float(value)  # 'inf' and '-inf' too


def verify(path: Path, fits: Callable[[Data], bool]) -> Result:
    """The word and the step; ``fits`` says whether a line fits the JSON Schema."""
    *lines, rest = path.read_bytes().split(b"\n")
    try:
        header = json.loads(lines[0])
    except (IndexError, ValueError):
        return "refused", None
    if not fits(header):
        return "refused", None
    sequences, prompts = header["content"]["sequences"], header["content"]["prompts"]
    if len(dict(sequences)) < len(sequences) or any(prompt >= len(prompts) for _, prompt in sequences):
        return "refused", None
    steps, resumed, footer, fault = read(lines, header, fits)
    if fault is None and (header["content"]["rng"] != "decodekit-rng-1" or header["content"]["level"] == "none"):
        return "refused", None
    check = Steps(header["content"], resumed)
    words = [check.word(step) for step in steps]
    if fault is not None:
        return "failed", fault
    if "failed" in words:
        return "failed", steps[words.index("failed")]["step"]
    if footer is None or rest:
        return "incomplete", len(steps)
    provider = check.sampler == "provider"
    if not provider and any(ended_early(end, header["content"], resumed) for end in footer["ends"]):
        return "failed", len(steps)
    word = min(words, key=STRENGTH.index, default="consistent" if provider else "proved")
    return word, None if word == "proved" or not words else steps[words.index(word)]["step"]


def read(lines: list[bytes], header: Data, fits: Callable[[Data], bool]) -> tuple[list[Data], list[Data], Any, Any]:
    """Steps, resumptions, footer, and the step of the first fault."""
    steps: list[Data] = []
    resumed: list[Data] = []
    footer = None
    contents = lines[0][len(b'{"kind":"header","content":') : lines[0].rindex(b',"created":')]
    for before, line in pairwise(lines):
        if footer is not None:
            return steps, resumed, footer, len(steps)
        try:
            data = json.loads(line)
            if data["prev"] != digest(before):
                del steps[-1:]
                return steps, resumed, footer, len(steps)
            if not fits(data) or not sound_arrays(data["content"]):
                return steps, resumed, footer, len(steps)
        except (ValueError, KeyError, TypeError):
            return steps, resumed, footer, len(steps)
        if data["kind"] == "step":
            steps.append(data["content"])
            contents += line[line.index(b'"content":') + 10 : line.rindex(b',"timing":')]
        elif data["kind"] == "resumed":
            resumed.append(data["content"])
        elif data["kind"] == "footer":
            footer = data["content"]
            counts = Counter(step["stream"] for step in steps)
            named = [stream for stream, _ in header["content"]["sequences"]]
            if (
                data["check"] != digest(line[: line.rindex(b',"check":"')])
                or footer["contents"] != digest(contents)
                or [end["stream"] for end in footer["ends"]] != named
                or any(end["tokens"] != counts[end["stream"]] for end in footer["ends"])
                or any(bool(end.get("error")) != (end["finish_reason"] == "error") for end in footer["ends"])
            ):
                return steps, resumed, None, len(steps)
    return steps, resumed, footer, None


def sound_arrays(content: Data) -> bool:
    """What the schema cannot say of `final` and `row`."""
    final, row = content.get("final"), content.get("row")
    if final is not None:
        scores = [number(score) for score in final["scores"]]
        if len(set(final["token_ids"])) != len(scores) or not math.isfinite(max(scores)):
            return False
    if row is not None:
        values = np.frombuffer(base64.b64decode(row["scores"], validate=True), np.dtype(row["dtype"]).newbyteorder("<"))
        if not math.isfinite(values.max()) or len(set(row["token_ids"] or range(len(values)))) != len(values):
            return False
    return True


def ended_early(end: Data, header: Data, resumed: list[Data]) -> bool:
    adapter = resumed[-1]["adapter"] if resumed else header["adapter"]
    prompt = len(header["prompts"][dict(header["sequences"])[end["stream"]]])
    room, tokens = adapter.get("context_length"), end["tokens"]
    full = tokens > 0 and (room is None or not adapter.get("deterministic") or prompt + tokens > room)
    most = header["stop"].get("max_tokens")
    reached = most is None or tokens >= most
    return (end["finish_reason"] == "length" and not reached and not full) or (
        end["finish_reason"] == "context" and not full
    )


class Steps:
    """The checks of the steps, in the order of the page."""

    def __init__(self, header: Data, resumed: list[Data]) -> None:
        self.header, self.resumed = header, resumed
        self.lengths = {stream: 0 for stream, _ in header["sequences"]}
        self.attempts: Counter[int] = Counter()
        sampler = header["chain"]["sampler"]
        self.named = sampler["name"]
        self.sampler = self.named if sampler["distribution"] == "decodekit" and self.named in CORE else None

    def word(self, step: Data) -> str:
        try:
            return self.checked(step)
        except Wrong as wrong:
            return wrong.word

    def checked(self, step: Data) -> str:
        stream, stop = step["stream"], self.header["stop"]
        require(stream in self.lengths)
        length, before = self.lengths[stream], self.attempts[stream]
        self.lengths[stream] += 1
        branches = step.get("abandoned") or []
        attempt = self.attempts[stream] = before + len(branches)
        require(len(branches) < 1000)
        for k, branch in enumerate(branches, before):
            require(branch["why"] in stop.get("ban", ()) and branch["token_ids"] != [])
            drawn = self.named in ("multinomial", "inverse_cdf")
            require(branch["attempt"] == k if drawn else 0 <= branch["attempt"] <= k)
        draw, final = step.get("draw"), step.get("final")
        require(draw is None or draw["attempt"] == attempt)
        require(step["step"] == length)
        level = self.header["level"]
        require(not (final and level == "choice") and not (step.get("row") and level != "full"))
        most = math.inf if self.sampler == "provider" else stop.get("max_tokens", math.inf)
        require(step["step"] < most and 0 <= step["raw"]["temperature"] < math.inf)
        size = self.header["adapter"].get("vocab_size")
        require(size is None or max(ids_of(step)) < size)
        word = self.draw(step, attempt, size)
        self.branches(step, before, size)
        return "consistent" if word == "proved" and level == "full" and not step.get("row") else word

    def words(self, step: Data, attempt: int, domain: int, size: int) -> Any:
        key = np.array([self.header["seed"], domain], dtype=np.uint64)
        counter = np.array([0, step["step"], step["stream"], attempt], dtype=np.uint64)
        return np.random.Philox(key=key, counter=counter).random_raw(size)

    def draw(self, step: Data, attempt: int, size: int | None) -> str:
        draw, choice = step.get("draw"), step["choice"]
        again = self.again(step, attempt, size)
        if again is None:
            if self.sampler:
                used = {"multinomial": (0, step["token"]), "inverse_cdf": (1, 0)}.get(self.sampler)
                require((None if draw is None else (draw["domain"], draw["lane"])) == used)
            if draw is not None and draw["domain"] in (0, 1):
                word = self.words(step, attempt, draw["domain"], draw["lane"] + 1)[-1]
                require(int(word) == int(draw["word"], 16))
            return "consistent"
        token, score, margin, runner_up, logprob, address = again
        if margin < 1e-9 and step["token"] == runner_up:
            scores = dict(zip(step["final"]["token_ids"], map(number, step["final"]["scores"]), strict=True))
            logprob = None if logprob is None else logprob + scores[runner_up] - scores[token]
            token, runner_up = runner_up, token
            address = None if address is None else (0, token) if address[0] == 0 else address
        require(token == step["token"] and runner_up == choice["runner_up"])
        require(agree(choice["score"], score) and agree(number(choice["margin"]), margin))
        require(step["final"]["floor"] is not None or agree(choice["logprob"], logprob))
        require((address is None) == (draw is None))
        if address is not None:
            word = int(self.words(step, attempt, address[0], address[1] + 1)[-1])
            require((draw["domain"], draw["lane"], int(draw["word"], 16)) == (*address, word))
        return "ambiguous" if margin < 1e-9 else "proved"

    def again(self, step: Data, attempt: int, size: int | None) -> Any:
        """Token, score, margin, runner-up, logprob, (domain, lane); None where it cannot be drawn again."""
        final = step.get("final")
        if self.sampler in (None, "provider") or final is None:
            return None
        floor = final["floor"]
        pairs = zip(final["token_ids"], map(number, final["scores"]), strict=True)
        alive = sorted((token, score) for token, score in pairs if score > -math.inf)
        ids, scores = np.array([token for token, _ in alive]), np.array([score for _, score in alive])
        logprobs = scores - scores.max() - math.log(np.exp(scores - scores.max()).sum())
        if self.sampler == "inverse_cdf":
            return None if floor is not None else self.walk(step, attempt, ids, scores, logprobs)
        address, missing = None, -math.inf
        decisive = scores
        if self.sampler == "multinomial":
            if floor is not None and (size is None or size > 2**20):
                return None
            words = self.words(step, attempt, 0, int(ids.max()) + 1 if size is None else size)
            noise = -np.log(-np.log(((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52))
            decisive = scores - scores.max() + noise[ids]
            if floor is not None:
                noise[final["token_ids"]] = -math.inf
                missing = float(noise.max() + floor - scores.max())
        order = np.lexsort((ids, -decisive))
        best = float(decisive[order[0]])
        second, runner_up = (float(decisive[order[1]]), int(ids[order[1]])) if len(ids) > 1 else (-math.inf, None)
        require(missing < best - 1e-9)
        if missing > -math.inf and missing >= second:
            second, runner_up = missing, None
        if self.sampler == "greedy":
            require(floor is None or (runner_up is not None and floor <= second))
        else:
            address = (0, int(ids[order[0]]))
        return int(ids[order[0]]), best, best - second, runner_up, float(logprobs[order[0]]), address

    def walk(self, step: Data, attempt: int, ids: Any, scores: Any, logprobs: Any) -> Any:
        weights = np.exp(scores - scores.max())
        ids, logprobs, sums = ids[weights > 0], logprobs[weights > 0], np.cumsum(weights[weights > 0])
        u = float(((int(self.words(step, attempt, 1, 1)[0]) >> 12) + 0.5) * 2.0**-52)
        at = int(np.argmax(sums > u * sums[-1]))
        edges = [(u * sums[-1] - sums[at - 1], at - 1)] if at else []
        edges += [(sums[at] - u * sums[-1], at + 1)] if at + 1 < len(ids) else []
        margin, neighbour = min(edges, default=(math.inf, None))
        other = None if neighbour is None else int(ids[neighbour])
        return int(ids[at]), u, float(margin / sums[-1]), other, float(logprobs[at]), (1, 0)

    def branches(self, step: Data, before: int, size: int | None) -> None:
        branches = step.get("abandoned") or []
        parts, adapter = self.header["chain"]["processors"], self.header["adapter"]
        known = (step.get("final") or {"floor": 0})["floor"] is None
        known &= all(part["distribution"] == "decodekit" for part in parts)
        known &= not any(entry.get("tosses") or entry.get("gave_up") for entry in step["entries"])
        reached = {0}
        for k, branch in enumerate(branches):
            for j in reached if len(branch["token_ids"]) > 1 else reached & {k}:
                again = self.again(step, before + j, size) if known else None
                possible = None if again is None else [again[0]] + [again[3]] * (again[2] < 1e-9)
                if possible is None or branch["token_ids"][0] in possible:
                    reached = reached | {k + 1}
                    break
        if len(branches) not in reached:
            same = adapter.get("deterministic") and not adapter.get("stochastic") and not step.get("schedule")
            raise Wrong("failed" if same and all(r["adapter"] == adapter for r in self.resumed) else "consistent")


def require(holds: object) -> None:
    if not holds:
        raise Wrong


def agree(recorded: float | None, computed: float | None) -> bool:
    if recorded is None or computed is None:
        return recorded is computed
    return recorded == computed or abs(recorded - computed) <= 1e-9 * max(1.0, abs(computed))


def ids_of(step: Data) -> list[int]:
    ids = [step["token"], step["choice"]["runner_up"] or 0]
    for top in (step["raw"]["top"], *(entry.get("top", []) for entry in step["entries"])):
        ids += [token for token, _ in top]
    for part in (*(step.get("abandoned") or []), step.get("final") or {}, step.get("row") or {}):
        ids += part.get("token_ids") or []
    return ids
