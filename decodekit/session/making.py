"""How the sequences of a run are made. A run is not a part of it: what refers to itself is freed late."""

from __future__ import annotations

from dataclasses import replace

from decodekit.draw.randomness import Randomness
from decodekit.errors import ParameterError
from decodekit.log import RunLog
from decodekit.model.prefix import Prefix
from decodekit.plugin.callback import comes_later
from decodekit.session.bans import Ban, HeldSteps
from decodekit.session.decoder import Decoder
from decodekit.session.options import GenerationOptions
from decodekit.session.roster import Entrant
from decodekit.session.sequence import RunSequence
from decodekit.session.settings import Settings
from decodekit.session.stop import Stop
from decodekit.trace.header import Header
from decodekit.trace.step import Step

__all__ = ["CallersUntil", "SequenceMaker"]


class CallersUntil:
    """The caller's ``until``.

    Attributes:
        raised: an error from it; it ends the sequence, and is raised after the step is recorded.
    """

    def __init__(self, stop: Stop) -> None:
        self._until = stop.until
        self.raised: BaseException | None = None

    def __call__(self, step: Step) -> bool:
        assert self._until is not None
        try:
            wanted = self._until(step)
            if comes_later(wanted):
                raise ParameterError("until returned what is to be awaited or iterated; it returns true or false")
            return bool(wanted)
        except BaseException as error:
            self.raised = error
            return True


class SequenceMaker:
    """Makes sequences.

    Args:
        settings, options: of the run.
        seed: of the run.
        ban: the banned phrases; None for none.
        until: the caller's.
        log: the run's.
        header: of its record.
    """

    def __init__(
        self,
        settings: Settings,
        options: GenerationOptions,
        seed: int,
        ban: Ban | None,
        until: CallersUntil,
        log: RunLog,
        header: Header,
    ) -> None:
        self._log, self._header = log, header
        self._settings, self._options, self._seed, self._ban = settings, options, seed, ban
        self._stop = options.stop if options.stop.until is None else replace(options.stop, until=until)

    def __call__(self, entrant: Entrant) -> RunSequence:
        assert isinstance(entrant.prefix, Prefix)
        settings = self._settings
        decoder = Decoder(
            settings.chain,
            Randomness(self._seed, entrant.stream),
            entrant.prefix,
            self._stop,
            settings.adapter.tokenizer,
            settings.on_undisclosed,
            level=self._options.level,
            top_logprobs=settings.top_logprobs,
            metadata=settings.metadata,
            header=self._header,
        )
        held = None if self._ban is None else HeldSteps(self._ban)
        return RunSequence(decoder, self._log, held, self._options.schema)
