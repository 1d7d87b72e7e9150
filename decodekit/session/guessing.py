"""Guesses: a sequence asks for its next tokens in one call, and keeps what was guessed right.

The chain and the draw decide each token as always. A guess adds prefixes to a question; where the decided token is the
guessed one, the answer to its prefix is there already, and otherwise it is thrown away. So a guesser changes time and
nothing else; one that raises, or says what is no token, is switched off until the end of the run, with a warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Literal

import numpy as np

from decodekit.chain import Chain
from decodekit.chain.link import from_outside
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import ConfigError, DecodekitError, ParameterError, PluginError, message_of
from decodekit.log import RunLog, get_logger
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, is_async
from decodekit.model.prefix import Prefix
from decodekit.plugin import registry
from decodekit.plugin.one_line import parse_guesser
from decodekit.plugin.protocols import Guesser
from decodekit.session.guess_length import MOST_GUESSED, GuessCost, GuessLength
from decodekit.session.sequence import RunSequence

__all__ = ["GivenGuesser", "Guesses", "NamedGuesser", "guesser_of", "guesses_of"]

NamedGuesser = str | Mapping[str, Any]
"""A guesser by name: ``"prompt_lookup"``, or ``{"name": "prompt_lookup", "max_ngram": 3}``."""
GivenGuesser = Guesser | Literal["none"] | None
"""'none' is no guesser; None is not said."""

_MOST_ROWS = 16  # prefixes of one question, where the adapter does not take more sequences at a time


class Guesses:
    """The guesses of one run: what a part of the chain forces, and otherwise what a guesser says.

    Args:
        guesser: says what may come; None for no guesser.
        adapter: the model.
        most_tokens: the most tokens of a sequence.

    Raises:
        DecodekitError: the guesser refuses the model: its ``check(tokenizer)`` raised. Another error than one of this
            library is a `PluginError`.
    """

    def __init__(self, guesser: Guesser | None, adapter: Adapter | AsyncAdapter, most_tokens: int) -> None:
        _check(guesser, adapter)
        self._guesser = guesser
        self._info = adapter.info
        self._most_tokens = most_tokens
        self._cost = GuessCost(measured=bool(self._info.schedule_invariant))
        self._lengths: dict[int, GuessLength] = {}
        self._ahead: dict[int, list[Prefix]] = {}
        self._forced: set[int] = set()  # the sequences of `_ahead` whose guess is forced
        self._seconds = 0.0  # the guesser's, in this round
        self.on = True
        self.quick = guesser is None or getattr(guesser, "quick", False) is True

    def make(self, sequences: Sequence[RunSequence]) -> None:
        """Guess for these sequences, which are about to ask."""
        self._ahead.clear()
        self._forced.clear()
        self._seconds = 0.0
        count = len(sequences)
        room = (max(self._info.concurrency, _MOST_ROWS) - count) // count
        for sequence in sequences:
            if self._make_forced(sequence, room) or self._guesser is None:
                continue
            length = self._lengths.setdefault(sequence.stream, GuessLength())
            most = min(length.next(self._cost), room, self._room(sequence))
            if most <= 0 or not self.on:
                continue
            started = time.perf_counter()
            ids = self._guess(sequence, most)
            took = time.perf_counter() - started
            self._seconds += took
            if ids:
                self._ahead[sequence.stream] = _prefixes(sequence.decoder.prefix, ids)
            elif self._cost.too_long(took, count):
                length.rest()

    def _make_forced(self, sequence: RunSequence, room: int) -> bool:
        """Ask for what the chain forces. It is asked for whatever it costs: each token of it is needed anyhow."""
        most = min(MOST_GUESSED, room, self._room(sequence))
        ids = self._taken(sequence.decoder.forced, most, "what the chain forces") if self.on and most > 0 else []
        if ids:
            self._ahead[sequence.stream] = _prefixes(sequence.decoder.prefix, ids)
            self._forced.add(sequence.stream)
        return bool(ids)

    def ahead(self, sequence: RunSequence) -> list[Prefix]:
        """The guessed prefixes of a sequence in the question that is being asked, shortest first."""
        return self._ahead.get(sequence.stream, [])

    def drop(self) -> bool:
        """Ask nothing in addition this time. Returns whether there was a guess."""
        asked = bool(self._ahead)
        self._ahead.clear()
        return asked

    def failed(self) -> bool:
        """The whole question failed: guess nothing for a while. Returns whether the question had a guess."""
        for stream in self._ahead.keys() - self._forced:
            self._lengths[stream].rest()
        return self.drop()

    def answered(self, waited: float, sequences: int) -> None:
        """The question was answered after ``waited`` seconds."""
        self._cost.seen(waited + self._seconds, sequences, sum(map(len, self._ahead.values())))

    def learn(self, sequence: RunSequence, known: int, right: int) -> None:
        """What became of a sequence's guess; see `GuessLength.learn`."""
        if sequence.stream not in self._forced:
            self._lengths[sequence.stream].learn(len(self.ahead(sequence)), known, right, self._cost)

    def forget(self, streams: Iterable[int]) -> None:
        """Forget sequences that have ended."""
        for stream in streams:
            self._lengths.pop(stream, None)
            self._ahead.pop(stream, None)

    def usable(self, sequence: RunSequence, asked: Disclosure) -> bool:
        """Whether the answer to a guessed prefix is what the sequence would ask for now."""
        return self._info.cheap.kind == "all" or sequence.need == asked

    def _room(self, sequence: RunSequence) -> int:
        """How many tokens may come after the next one."""
        decoder, most = sequence.decoder, self._info.context_length
        room = MOST_GUESSED if most is None else most - len(decoder.prefix)
        return min(room, self._most_tokens - len(decoder.output_ids) - 1)

    def _guess(self, sequence: RunSequence, most: int) -> list[int]:
        decoder, guesser = sequence.decoder, self._guesser
        assert guesser is not None
        return self._taken(lambda: guesser.guess(decoder.prefix, decoder.context), most, guesser)

    def _taken(self, guess: Callable[[], Iterable[int]], most: int, whose: object) -> list[int]:
        """The first ids of a guess. If it raises, nothing is guessed any more."""
        try:
            given = iter(guess())
            try:
                return [self._token(each) for each in islice(given, most)]
            finally:
                close = getattr(given, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            if from_outside(error):
                raise
            self.on = False
            with suppress(Exception):  # its name or its error may raise too
                name = whose if isinstance(whose, str) else registry.name_of(whose)
                get_logger().warning("guesser switched off", guesser=name, error=message_of(error))
            return []

    def _token(self, given: object) -> int:
        size = self._info.vocab_size or 2**63
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or not 0 <= given < size:
            raise ParameterError(f"a guess is token ids below {size}, and {given!r} is none")
        return int(given)


def _check(guesser: Guesser | None, adapter: Adapter | AsyncAdapter) -> None:
    """Ask a guesser whether it works with the tokenizer of a model."""
    check = getattr(guesser, "check", None)
    if not callable(check):
        return
    try:
        check(adapter.tokenizer)
    except DecodekitError:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        what = f"its check of the tokenizer raised {type(error).__name__}: {message_of(error)}"
        raise PluginError(what, plugin=registry.name_of(guesser)) from error


def guesser_of(given: object) -> GivenGuesser:
    """The guesser that a caller gave: an object, a text, or a mapping of a name and parameters; 'none' for none.

    A text is a name and parameters as on the command line, such as ``"prompt_lookup max_ngram=3"``.

    Raises:
        UnknownPlugin: no guesser has this name.
        ConfigError: the text cannot be read.
        ParameterError: it is no guesser, or its parameters are not valid.
    """
    if given is None or (isinstance(given, str) and given == "none"):
        return given  # type: ignore[return-value]
    if isinstance(given, str):
        given = parse_guesser(given, "guesser")
    if isinstance(given, Mapping):
        params = dict(given)
        name = params.pop("name", None)
        if not isinstance(name, str) or not all(isinstance(key, str) for key in params):
            raise ConfigError(f"a guesser is given as {{'name': ..., parameters}}, not as {given!r}")
        given = registry.guesser(name, **params)
    if isinstance(given, type) or not callable(getattr(given, "guess", None)):
        raise ParameterError(f"a guesser has a method guess(prefix, ctx); {given!r} has none")
    return given  # type: ignore[return-value]


def guesses_of(
    given: GivenGuesser, adapter: Adapter | AsyncAdapter, chain: Chain, most_tokens: int, log: RunLog
) -> Guesses | None:
    """The guesses of a run; None if there is no guesser and the chain forces nothing.

    None for an async adapter too, which is noted: a server takes one request for each prefix, so that a guess would
    cost what it saves; and it makes its own guesses.
    """
    guesser = None if given == "none" else given
    if guesser is None and not chain.forces:
        return None
    assert not isinstance(guesser, str)
    if isinstance(adapter, BlockingAdapter) or is_async(adapter):
        if guesser is not None:
            why = "an async adapter is asked for each prefix by itself"
            log.warning("guesser not used", guesser=registry.name_of(guesser), why=why)
        return None
    return Guesses(guesser, adapter, most_tokens)


def _prefixes(prefix: Prefix, ids: Iterable[int]) -> list[Prefix]:
    found = []
    for token_id in ids:
        prefix = prefix.extend((token_id,))
        found.append(prefix)
    return found
