"""Sequences that are being written: many at once, each a value that never changes, so that a copy costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure, Interval, Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.errors import ContextOverflow, DecodekitError, DistributionError
from decodekit.model.adapter import Adapter, Answer
from decodekit.model.loops import OutOfTime
from decodekit.model.prefix import Prefix
from decodekit.search.valid_samples import Method, Reason, ValidSample, ValidSamples
from decodekit.search.validator import Checker
from decodekit.session.inquiry import Inquiry, not_enough
from decodekit.session.law import law_of
from decodekit.session.portions import portions
from decodekit.session.question import Question
from decodekit.session.sequence import at_step
from decodekit.session.settings import Settings
from decodekit.text.token_text import TokenText
from decodekit.types import Ids

__all__ = ["Branch", "End", "Writer"]

End = Literal["stop", "complete", "invalid", "length", "context", "checks"]
Decision = TypeVar("Decision")

_INSTEAD = "Otherwise use a chain that needs less, such as top_k, or another method."


@dataclass(frozen=True, slots=True)
class Branch:
    """A sequence that is being written.

    Args:
        prefix: prompt and ids.
        context: the same as processors see it.
        states: of the chain.
        ids: what was generated.
        logprob: the log-probability of the ids under the chain, in nats; None where a tail makes it unknown.
        streams: of the draw of each token.
        end: why it is not continued: 'stop' after an end-of-text token, 'complete' after a token that completed it,
            both valid; 'invalid'; 'length', 'context' or 'checks' where a limit was reached. None while it is open.
    """

    prefix: Prefix
    context: Context
    states: tuple[object, ...]
    ids: tuple[int, ...] = ()
    logprob: float | None = 0.0
    streams: tuple[int, ...] = ()
    end: End | None = None

    @property
    def valid(self) -> bool:
        """Whether it ended as a valid text."""
        return self.end in ("stop", "complete")

    @property
    def cut(self) -> bool:
        """Whether a limit ended it, so that it is not known whether it would have become valid."""
        return self.end in ("length", "context", "checks")


class Writer:
    """Asks the model for distributions, and extends branches. No adapter is called here.

    Args:
        settings: of the call: adapter, chain and metadata are used.
        seed: of the call.
        prompt: the prefix that all branches begin with.
        max_tokens: the most tokens of a branch.
        checker: what is valid.
        until: the deadline, on the clock of ``time.monotonic``.

    Attributes:
        evaluated: how many distributions the model was asked for.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        prompt: Prefix,
        max_tokens: int,
        checker: Checker,
        until: float | None,
    ) -> None:
        adapter = settings.adapter
        self.chain, self.checker, self.seed = settings.chain, checker, seed
        self.evaluated = 0
        self._vocab_size = adapter.info.vocab_size
        self._adapter: Adapter = adapter  # type: ignore[assignment]  # a `Session` has no other
        self._prompt, self._most, self._until = prompt, max_tokens, until
        self._metadata = settings.metadata or {}

    @property
    def width(self) -> int:
        """How many branches are asked for at once."""
        return max(1, self._adapter.info.concurrency)

    def fill(self) -> Generator[Question, Sequence[Answer], None]:
        """Have the prompt evaluated, in portions where it is long."""
        yield from portions(self._adapter, self._prompt, self._until)

    def start(self) -> Branch:
        """The branch without tokens."""
        ids = TokenIds(self._prompt.since(0))
        context = Context(ids, TokenIds(), self._adapter.tokenizer, self._metadata)
        return Branch(self._prompt, context, self.chain.initial(context))

    def allowed(self, branch: Branch) -> Ids | None:
        """int64[n] rising: the ids that may come next; None where the validator does not say."""
        return self.checker.allowed(branch.ids, self._vocab_size) if self.checker.knows_allowed else None

    def samples(
        self,
        valid: Sequence[tuple[Branch, float]],
        *,
        method: Method,
        finish_reason: Reason,
        runs: int,
        invalid: int,
        cut: int,
        log_p_valid: float,
        relative_error: float,
        p_cut: float,
        bounds: Interval,
    ) -> ValidSamples:
        """The result of a call, from its valid branches with their log weights; the rest is as in `ValidSamples`."""
        return ValidSamples(
            samples=tuple(
                ValidSample(
                    text=self.text(branch),
                    token_ids=branch.ids,
                    log_weight=log_weight,
                    logprob=branch.logprob,
                    finish="stop" if branch.end == "stop" else "complete",
                    streams=branch.streams,
                )
                for branch, log_weight in valid
            ),
            method=method,
            seed=self.seed,
            finish_reason=finish_reason,
            runs=runs,
            invalid=invalid,
            cut=cut,
            log_p_valid=log_p_valid,
            relative_error=relative_error,
            p_cut=p_cut,
            bounds=bounds,
            checks=self.checker.checks,
            evaluated=self.evaluated,
        )

    def text(self, branch: Branch) -> str:
        """The text of its ids, as `Result.text` would be."""
        stream = TokenText(self._adapter.tokenizer, (), self.checker.ends)
        for token_id in branch.ids:
            stream.take(token_id)
        stream.finish()
        return stream.text

    def next_of(
        self, branches: Sequence[Branch], decide: Callable[[int, Reshaped], Decision]
    ) -> Generator[Question, Sequence[Answer], list[Decision | Branch]]:
        """What is decided for each branch; a branch that does not fit the model's context any more is returned as cut.

        Args:
            branches: open ones. Equal prefixes are asked for once.
            decide: gets the index of a branch and what its chain has made of the model's answer. It may raise
                `Undisclosed`, and is then called again with more, if there is more.

        Raises:
            OutOfTime: the deadline has passed.
            Undisclosed: the adapter cannot disclose enough.
            DecodekitError: the answer for a branch, or an error of the chain.
        """
        found: dict[int, Decision | Branch] = {}
        for start in range(0, len(branches), self.width):
            open_ = {i: Inquiry() for i in range(start, min(start + self.width, len(branches)))}
            needs = {i: self.chain.need(branches[i].context, branches[i].states) for i in open_}
            while open_:
                answers = yield from self._answers({i: branches[i].prefix for i in open_},
                                                   {i: open_[i].next_need(needs[i]) for i in open_})  # fmt: skip
                made: dict[Prefix, Reshaped] = {}  # branches of one prefix have one law
                for i, answer in answers.items():
                    if isinstance(answer, DecodekitError):
                        found[i] = _over(branches[i], answer)
                        del open_[i]
                        continue
                    final = open_[i].is_final(answer)
                    try:
                        if branches[i].prefix not in made:
                            made[branches[i].prefix] = self._reshaped(branches[i], answer)
                        found[i] = decide(i, made[branches[i].prefix])
                        del open_[i]
                    except Undisclosed as error:
                        if final:
                            raise not_enough(error, answer, _INSTEAD) from error
                        needs[i] |= error.need
        return [found[i] for i in range(len(branches))]

    def extended(self, branch: Branch, reshaped: Reshaped, token_id: int, stream: int) -> Branch:
        """The branch with one more token, checked.

        Args:
            branch: an open one.
            reshaped: what the token was drawn from.
            token_id: the token.
            stream: of its draw.
        """
        law = reshaped.final
        logprob = law.logprob(token_id) if law.knows_normalizer else None
        judged = self.checker.judge(branch.ids, token_id)
        total = None if logprob is None or branch.logprob is None else branch.logprob + logprob
        grown = replace(branch, ids=(*branch.ids, token_id), logprob=total, streams=(*branch.streams, stream))
        if judged == "invalid":
            return replace(grown, end="invalid")
        if judged == "ended":
            return replace(grown, end="stop" if token_id in self.checker.ends else "complete")
        if len(grown.ids) >= self._most:
            return replace(grown, end="length")
        choice = Choice(token_id, logprob)
        if self.chain.stateful:
            choice = reshaped.placed(choice)
        context, ids = branch.context, branch.context.output_ids
        assert isinstance(ids, TokenIds)
        return replace(
            grown,
            prefix=branch.prefix.extend((token_id,)),
            context=Context(context.prompt_ids, ids.append(token_id), context.tokenizer, context.metadata),
            states=reshaped.states_after(choice),
        )

    def _answers(
        self, prefixes: dict[int, Prefix], needs: dict[int, Disclosure]
    ) -> Generator[Question, Sequence[Answer], dict[int, Answer]]:
        if self._until is not None and time.monotonic() >= self._until:
            raise OutOfTime
        merged: dict[Prefix, Disclosure] = {}
        for i, prefix in prefixes.items():
            merged[prefix] = merged[prefix] | needs[i] if prefix in merged else needs[i]
        self.evaluated += len(merged)
        answers = yield Question(list(merged), list(merged.values()), [], len(merged))
        known = dict(zip(merged, answers, strict=True))
        return {i: known[prefix] for i, prefix in prefixes.items()}

    def _reshaped(self, branch: Branch, answer: Distribution) -> Reshaped:
        noise = Randomness(self.seed).at(len(branch.ids))  # a processor that draws from it is refused
        reshaped = self.chain.reshape(answer, branch.context, branch.states, noise)
        law_of(reshaped)
        return reshaped


def _over(branch: Branch, error: DecodekitError) -> Branch:
    """The branch that ends because its context is full. Raises every other error."""
    if isinstance(error, ContextOverflow) and branch.ids:
        return replace(branch, end="context")
    raise at_step(error, len(branch.ids)) if isinstance(error, DistributionError) else error
