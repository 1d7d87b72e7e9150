"""What is damaged, and what is forged, in the traces of tests/trace/conformance."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit import Randomness
from decodekit.trace.codec import digest

Content = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A verdict: its word, and the step that it names. 'refused' is the error of a file without a usable header."""

    word: str
    step: int | None = None

    def data(self) -> dict[str, Any]:
        return {"word": self.word, "step": self.step}


@dataclass(frozen=True)
class Damage:
    """Bytes of the trace ``top_p`` (a header, three steps, a footer) that were changed by accident."""

    name: str
    about: str
    verify: Found
    change: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Forgery:
    """Contents of a sound trace that were changed on purpose, under digests that fit."""

    name: str
    about: str
    run: str
    verify: Found
    change: Callable[[list[Content]], object]
    chain: Found | None = None


def in_lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(change(data.splitlines(keepends=True)))


def wrong_contents(data: bytes) -> bytes:
    """Another digest of all contents, under a footer digest that fits."""
    body, _, _ = data.rpartition(b',"check":"')
    at = body.rindex(b'"contents":"') + len(b'"contents":"')
    body = body[:at] + b"0" * 32 + body[at + 32 :]
    last = body[body.rindex(b"\n") + 1 :]
    return body + b',"check":"' + digest(last).encode() + b'"}\n'


FAILED_AT_1 = Found("failed", 1)
DAMAGED = [
    Damage("torn", "the last step is cut in its middle", Found("incomplete", 2),
           in_lines(lambda lines: [*lines[:3], lines[3][:60]])),
    Damage("no_footer", "killed before the footer", Found("incomplete", 3), in_lines(lambda lines: lines[:-1])),
    Damage("changed_byte", "a character more in the text of step 1", FAILED_AT_1,
           in_lines(lambda lines: [*lines[:2], lines[2].replace(b'"text":"', b'"text":"x'), *lines[3:]])),
    Damage("missing_line", "step 1 is missing", Found("failed", 0), in_lines(lambda lines: lines[:2] + lines[3:])),
    Damage("swapped_lines", "steps 1 and 2 are exchanged", Found("failed", 0),
           in_lines(lambda lines: [*lines[:2], lines[3], lines[2], lines[4]])),
    Damage("wrong_check", "the footer's own digest is wrong", Found("failed", 3),
           lambda data: data[:-35] + b"0" * 32 + data[-3:]),
    Damage("wrong_contents", "the footer's digest of all contents is wrong", Found("failed", 3), wrong_contents),
    Damage("after_footer", "a line after the footer", Found("failed", 3),
           in_lines(lambda lines: [*lines, lines[1]])),
    Damage("future", "a format of the future", Found("refused"),
           lambda data: data.replace(b"decodekit-trace/1", b"decodekit-trace/2")),
    Damage("empty", "no bytes", Found("refused"), lambda data: data[:0]),
]  # fmt: skip


def other(content: Content) -> int:
    """Where in the final support another token than the chosen one stands."""
    return int(content["final"]["token_ids"][0] == content["token"])


def another_token(lines: list[Content]) -> None:
    lines[2]["token"] = lines[2]["final"]["token_ids"][other(lines[2])]


def token_and_draw(lines: list[Content]) -> None:
    """A token with its own word: nothing of the draw contradicts it but the scores."""
    another_token(lines)
    word_of(lines[2], lines[0]["seed"])


def word_of(content: Content, seed: int) -> None:
    """The word of the content's token, as its draw."""
    token, at = content["token"], content["step"]
    content["draw"].update(lane=token, word=f"{int(Randomness(seed).words([token], step=at)[0]):016x}")


def another_word(lines: list[Content]) -> None:
    lines[2]["draw"]["word"] = f"{int(lines[2]['draw']['word'], 16) ^ 1:016x}"


def a_score(lines: list[Content]) -> None:
    lines[2]["final"]["scores"][other(lines[2])] += 50.0


def without_winner(lines: list[Content]) -> None:
    final = lines[1]["final"]
    at = final["token_ids"].index(lines[1]["token"])
    del final["token_ids"][at], final["scores"][at]


def out_of_vocabulary(lines: list[Content]) -> None:
    lines[2]["token"] = 999
    word_of(lines[2], lines[0]["seed"])


def third_token(lines: list[Content]) -> None:
    lines[1]["token"] = 0
    lines[1]["choice"]["margin"] = 0.0
    word_of(lines[1], lines[0]["seed"])


def exchanged(lines: list[Content]) -> None:
    """The runner-up of a close choice as its winner, as another order of a sum could have decided."""
    content = lines[1]
    final, choice = content["final"], content["choice"]
    scores = dict(zip(final["token_ids"], final["scores"], strict=True))
    winner, second = content["token"], choice["runner_up"]
    content["token"] = second
    choice.update(runner_up=winner, logprob=choice["logprob"] + scores[second] - scores[winner])
    word_of(content, lines[0]["seed"])


def other_attempt(lines: list[Content]) -> None:
    """What another attempt chooses in step 1, in all fields that follow from it."""
    content = lines[2]
    ids, scores = np.array(content["final"]["token_ids"]), np.array(content["final"]["scores"])
    for attempt in range(1, 1000):
        noise = Randomness(lines[0]["seed"]).at(content["step"], draw=attempt)
        perturbed = scores - scores.max() + noise.gumbel(ids)
        second, first = np.argsort(perturbed)[-2:]
        if ids[first] != content["token"]:
            break
    content["choice"].update(
        score=float(perturbed[first]),
        margin=float(perturbed[first] - perturbed[second]),
        runner_up=int(ids[second]),
        logprob=float(scores[first] - np.log(np.exp(scores).sum())),
    )
    content["token"] = int(ids[first])
    word = int(noise.words(ids[first : first + 1])[0])
    content["draw"].update(attempt=attempt, lane=content["token"], word=f"{word:016x}")


def nan_in_row(lines: list[Content]) -> None:
    row = np.frombuffer(base64.b64decode(lines[2]["row"]["scores"]), "<f4").copy()
    row[7] = np.nan
    lines[2]["row"]["scores"] = base64.b64encode(row.tobytes()).decode()


def early_length(lines: list[Content]) -> None:
    lines[0]["stop"]["max_tokens"] += 5


def branch_hidden(lines: list[Content]) -> None:
    next(content for content in lines if "abandoned" in content).pop("abandoned")


FORGED = [
    Forgery("another_token", "another token in step 1", "top_p", FAILED_AT_1, another_token),
    Forgery("another_token_choice", "another token, where no scores were recorded: its draw is of the old one",
            "level_choice", FAILED_AT_1, lambda lines: lines[2].update(token=lines[2]["token"] + 1)),
    Forgery("token_and_draw", "another token, with its own lane and word", "top_p", FAILED_AT_1, token_and_draw),
    Forgery("another_word", "one bit of a random word", "level_choice", FAILED_AT_1, another_word),
    Forgery("changed_score", "a final score that would have won", "top_p", FAILED_AT_1, a_score),
    Forgery("wrong_margin", "a margin that is 1e-6 too large", "top_p", FAILED_AT_1,
            lambda lines: lines[2]["choice"].update(margin=lines[2]["choice"]["margin"] + 1e-6)),
    Forgery("other_attempt", "the noise of another attempt, and all that follows from it", "top_p", FAILED_AT_1,
            other_attempt),
    Forgery("removed_winner", "the chosen token is not in the final support", "floor", Found("failed", 0),
            without_winner),
    Forgery("floor_too_high", "a floor from which missing tokens could win", "floor", Found("failed", 0),
            lambda lines: lines[1]["final"].update(floor=lines[1]["final"]["floor"] + 8.0)),
    Forgery("floor_too_low", "a floor below the true one: only the raw row contradicts it", "heads", Found("proved"),
            lambda lines: lines[3]["final"].update(floor=lines[3]["final"]["floor"] - 1.0), chain=Found("failed", 2)),
    Forgery("out_of_vocabulary", "a token beyond the vocabulary, where no scores were recorded", "level_choice",
            FAILED_AT_1, out_of_vocabulary),
    Forgery("third_token", "a margin of 1e-12 excuses the runner-up, and no third token", "ambiguous",
            Found("failed", 0), third_token),
    Forgery("exchanged", "the runner-up of a close choice as its winner", "ambiguous", Found("ambiguous", 0),
            exchanged),
    Forgery("nan", "NaN in a raw row", "level_full", FAILED_AT_1, nan_in_row),
    Forgery("duplicate_ids", "the final support names a token twice", "top_p", FAILED_AT_1,
            lambda lines: lines[2]["final"]["token_ids"].__setitem__(0, lines[2]["final"]["token_ids"][1])),
    Forgery("wrong_kept_mass", "a mask that is said to have left more", "mask", Found("proved"),
            lambda lines: lines[2]["entries"][0].update(kept_mass=0.5), chain=FAILED_AT_1),
    Forgery("early_length", "the run is said to have ended at a limit that it had not reached", "top_p",
            Found("failed", 3), early_length),
    Forgery("wrong_count", "the footer counts a token more", "top_p", Found("failed", 3),
            lambda lines: lines[-1]["ends"][0].update(tokens=4)),
    Forgery("unnamed_stream", "a step of a stream that the header does not name", "top_p", Found("failed", 1),
            lambda lines: (lines[2].update(stream=9), lines[-1]["ends"][0].update(tokens=2))),
    Forgery("branch_hidden", "a branch that was taken back is not recorded", "abandoned", Found("failed", 0),
            branch_hidden),
]  # fmt: skip
