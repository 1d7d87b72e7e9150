"""States of constraints under steps, forks, returns, ends and bad tokens: each mask is what brute force says."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

pytest.importorskip("llguidance")

from decodekit import Choice, Context, ParameterError, processor
from decodekit.draw.context import TokenIds
from decodekit.testing.tokenizers import PiecesTokenizer

LETTERS = "ab0"
JSON_LETTERS = '[]{}",:01ab'
PIECES: list[bytes | None] = [letter.encode() for letter in dict.fromkeys(LETTERS + JSON_LETTERS)]
PIECES += [b"ab", b"ba", b"a0", b'"a', b'":', b"],", b"[1", b"b", None, None]  # b twice, a control token, the end
END, CONTROL = len(PIECES) - 1, len(PIECES) - 2
TOKENS = PiecesTokenizer(PIECES, eos_ids=[END])
MOST = 6  # letters of a text of a regex


def _regex_texts(pattern: str) -> list[str]:
    words = ("".join(word) for size in range(MOST + 1) for word in product(LETTERS, repeat=size))
    return [word for word in words if re.fullmatch(pattern, word)]


def _values(schema: Any) -> list[Any]:
    """Every value of a small schema."""
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "array":
        sizes = range(schema["minItems"], schema["maxItems"] + 1)
        return [list(items) for size in sizes for items in product(_values(schema["items"]), repeat=size)]
    found: list[dict[str, Any]] = [{}]
    for key, part in schema["properties"].items():
        have = [{**each, key: value} for each in found for value in _values(part)]
        found = have if key in schema["required"] else [*found, *have]
    return found


ATOMS = st.sampled_from(["a", "b", "0", "ab", "[ab]", "a?", "b{1,2}", "(a|b0)", "(ab|a)"])
REGEXES = st.lists(st.lists(ATOMS, min_size=1, max_size=3).map("".join), min_size=1, max_size=3).map("|".join)
ENUMS = st.lists(st.sampled_from([0, 1, 10, "a", "ab", "", "b"]), min_size=1, max_size=3, unique_by=repr).map(
    lambda values: {"enum": values}
)
ARRAYS = st.builds(
    lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
    ENUMS, st.integers(0, 1), st.integers(0, 1),
)  # fmt: skip


def _object(parts: list[Any], required: int) -> Any:
    keys = ["a", "ab", "b"][: len(parts)]
    names = [key for at, key in enumerate(keys) if required >> at & 1]
    properties = dict(zip(keys, parts, strict=True))
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


OBJECTS = st.builds(_object, st.lists(ENUMS | ARRAYS, min_size=1, max_size=2), st.integers(0, 7))
GRAMMARS = (
    st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=5).map(lambda texts: ("choice", texts))
    | REGEXES.map(lambda pattern: ("regex", pattern))
    | (ENUMS | ARRAYS | OBJECTS).map(lambda schema: ("json_schema", schema))
)


class States(RuleBasedStateMachine):
    """Some states of one constraint, each with the ids before it and its mask when it was first seen."""

    @initialize(grammar=GRAMMARS)
    def _start(self, grammar: tuple[str, Any]) -> None:
        name, value = grammar
        blanks = {"whitespace": "none"} if name == "json_schema" else {}
        self.part = processor(name, forcing="free", **{name: value}, **blanks)
        texts = {"choice": lambda: value, "regex": lambda: _regex_texts(value)}.get(
            name, lambda: [json.dumps(each, separators=(",", ":")) for each in _values(value)]
        )()
        self.texts = {text.encode() for text in texts}
        self.ctx = Context(TokenIds([0]), TokenIds(), TOKENS)
        self.states: list[tuple[list[int], Any]] = [([], self.part.initial(self.ctx))]

    def _expected(self, ids: list[int]) -> set[int]:
        if ids and ids[-1] == END:
            return set()
        written = b"".join(PIECES[i] or b"" for i in ids)
        left = [text[len(written) :] for text in self.texts if text.startswith(written)]
        found = {i for i, piece in enumerate(PIECES) if piece and any(rest.startswith(piece) for rest in left)}
        return found | ({END} if b"" in left else set())

    @rule(state=st.integers(0, 99), pick=st.integers(0, 99))
    def step(self, state: int, pick: int) -> None:
        """One more token after any state that there was: a fork, or a return to an earlier one."""
        ids, place = self.states[state % len(self.states)]
        allowed = sorted(self._expected(ids))
        if allowed:
            token = allowed[pick % len(allowed)]
            self.states.append(([*ids, token], self.part.advance(place, Choice(token, 0.0), self.ctx)))

    @rule(pick=st.integers(0, 99))
    def go_on(self, pick: int) -> None:
        self.step(len(self.states) - 1, pick)

    @rule(state=st.integers(0, 99), token=st.integers(0, len(PIECES) + 3))
    def bad_token(self, state: int, token: int) -> None:
        """A token that is not allowed is an error, and no state knows of it."""
        ids, place = self.states[state % len(self.states)]
        if token not in self._expected(ids) and not place.ended:
            with pytest.raises(ParameterError):
                self.part.advance(place, Choice(token, 0.0), self.ctx)

    @rule(state=st.integers(0, 99))
    def again_from_the_ids(self, state: int) -> None:
        """As a run that is resumed makes it."""
        ids, _ = self.states[state % len(self.states)]
        self.states.append((ids, self.part.initial(Context(TokenIds([0]), TokenIds(ids), TOKENS))))

    @precondition(lambda self: len(self.states) > 6)
    @rule(kept=st.integers(1, 5))
    def forget(self, kept: int) -> None:
        del self.states[1:-kept]

    @invariant()
    def every_mask_is_what_brute_force_says(self) -> None:
        for ids, place in self.states:
            expected = self._expected(ids)
            assert place.ended == bool(ids and ids[-1] == END)
            if not place.ended:
                assert set(np.flatnonzero(place.mask).tolist()) == expected, (ids, self.texts)
                forced = self.part.forced(place)
                assert not forced or forced[0] in expected
            assert self.part.complete(place) == (place.ended or END in expected)


TestStates = States.TestCase
TestStates.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
