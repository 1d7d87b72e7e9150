"""Banned phrases: found in the bytes of tokens that can still be taken back.

The method is local rejection. When a banned phrase is complete, decoding goes back to the token in which it begins, and
draws again from the same distributions, with the noise of the next attempt. The tokens that are kept then have the
distribution of model and chain under the condition that no banned phrase begins there; earlier tokens are not drawn
again. (Banning the first token of the phrase at that place, as exllama does, would also exclude every other text that
begins with this token.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decodekit.errors import ParameterError, PluginError
from decodekit.session.decoder import Checkpoint
from decodekit.text.markup import Spelling, spellings
from decodekit.text.stream import overlap
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.utf8 import utf8
from decodekit.trace.attempts import MOST_REWINDS
from decodekit.trace.step import Abandoned, Step

__all__ = ["Ban", "HeldSteps", "Rewind"]


class Ban:
    """Phrases to look for.

    Args:
        phrases: texts; UTF-8 bytes are compared, however they are split into tokens. A control token whose name is in
            a phrase matches its markup.
        tokenizer: for the bytes of tokens.

    Raises:
        ParameterError: no tokenizer, an empty phrase, or something that is not a list of Unicode texts.
    """

    def __init__(self, phrases: Sequence[str], tokenizer: Tokenizer | None) -> None:
        given: Sequence[object] = phrases
        if isinstance(phrases, str) or not all(isinstance(phrase, str) and phrase != "" for phrase in given):
            raise ParameterError(f"ban is a list of texts with at least one character each, not {phrases!r}")
        if tokenizer is None:
            raise ParameterError("ban needs a tokenizer, and this adapter has none; ban token ids in the chain")
        for phrase in phrases:
            utf8(phrase, "ban")
        self._spellings = spellings(tokenizer, phrases)

    def find(self, token_ids: Sequence[int]) -> tuple[int, str] | None:
        """The index of the token in which the first banned phrase begins, and the phrase; None when there is none."""
        found = []
        for spelling, wanted in self._spellings:
            text, ends = spelling.all(token_ids)
            starts = [(text.find(form), phrase) for phrase, form in wanted]
            found += [(sum(end <= at for end in ends), at, phrase) for at, phrase in starts if at >= 0]
        return None if not found else (min(found)[0], min(found)[2])

    def settled(self, token_ids: Sequence[int]) -> int:
        """How many leading tokens can no longer be taken back, if none of them holds a banned phrase.

        A token is open while a phrase may have begun in it. Open tokens may be replaced by others, so a token is also
        open if a phrase may have begun in it when the open tokens after it are removed.
        """
        count = len(token_ids)
        while True:
            fewer = min(_closed(spelling, wanted, token_ids[:count]) for spelling, wanted in self._spellings)
            if fewer == count:
                return count
            count = fewer


@dataclass(frozen=True, slots=True)
class Rewind:
    """The place to go back to, and the error that ends the sequence if it cannot continue."""

    checkpoint: Checkpoint
    error: PluginError | None


class HeldSteps:
    """The steps of one sequence that a ban may still take back.

    Attributes:
        abandoned: the branches taken back since the last step that was held, oldest first.
    """

    def __init__(self, ban: Ban) -> None:
        self._ban = ban
        self._steps: list[tuple[Checkpoint, Step]] = []
        self.abandoned: list[Abandoned] = []

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def start(self) -> Checkpoint | None:
        """Where the decoder stood before the first held step."""
        return self._steps[0][0] if self._steps else None

    def hold(self, checkpoint: Checkpoint, step: Step) -> Rewind | None:
        """Keep a step. If it completes a banned phrase, abandon the branch and return where to go back to."""
        steps, abandoned = self._steps, self.abandoned
        steps.append((checkpoint, replace(step, abandoned=tuple(abandoned))))
        abandoned.clear()
        found = self._ban.find(self._token_ids())
        if found is None:
            return None
        at, phrase = found
        branch = [step for _, step in steps[at:]]
        abandoned.extend(earlier for step in branch for earlier in step.abandoned)
        attempts = [step.draw.attempt for step in branch if step.draw is not None]
        abandoned.append(Abandoned(phrase, max(attempts, default=0), tuple(step.token_id for step in branch)))
        back = steps[at][0]
        del steps[at:]
        why = ""
        if not attempts:
            why = "the choice is not random here, so it would be written again; ban its tokens in the chain"
        elif len(abandoned) >= MOST_REWINDS:
            why = f"{len(abandoned)} branches were taken back; the model writes almost nothing else"
        error = PluginError(f"the phrase {phrase!r} was written, and {why}", plugin="ban", step=branch[0].index)
        return Rewind(back, error if why else None)

    def settled(self, *, everything: bool) -> list[Step]:
        """Release the leading steps that can no longer be taken back, or all steps."""
        if not self._steps:
            return []
        count = len(self._steps) if everything else self._ban.settled(self._token_ids())
        done = [step for _, step in self._steps[:count]]
        del self._steps[:count]
        return done

    def _token_ids(self) -> list[int]:
        return [step.token_id for _, step in self._steps]


def _closed(spelling: Spelling, wanted: Sequence[tuple[str, str]], token_ids: Sequence[int]) -> int:
    """How many leading tokens end before the first place where a phrase may have begun."""
    text, ends = spelling.all(token_ids)
    begun = max(overlap(text, form) for _, form in wanted)
    return sum(end <= len(text) - begun for end in ends)
