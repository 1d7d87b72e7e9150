"""`Session`: an adapter, a chain and a seed, for applications.

Each call is a run: it has one seed, its sequences have different streams, and the same call with the same seed gives
the same answer. A session closes only an adapter that it built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Never, Self, Unpack

from decodekit.log import RunLog
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, blocking, connect, drain
from decodekit.session.base import BaseSession, known_prompts, prompts_and_streams
from decodekit.session.blocking import answered, begun, finish, stream
from decodekit.session.completed import as_completed
from decodekit.session.continuation import Continuation, known_candidates, prefix_and_tokens
from decodekit.session.driving import only_result
from decodekit.session.options import GenerationKeywords, ManyKeywords
from decodekit.session.prompts import Prompt, count_tokens
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.score import By, Ranked, Score
from decodekit.session.scoring import ScoreKeywords, ranked, scores, scoring_options
from decodekit.session.steps import Steps

__all__ = ["Prompt", "Result", "Session"]


class Session(BaseSession):
    """Decodes prompts with one adapter and one chain, in blocking code. Threads may share a session.

    Args:
        adapter: any `Adapter` or `AsyncAdapter`. The session does not close it.
        chain: what to do with each distribution: a chain, a list of processors, one processor, or None.
        seed: the seed of every call without one; None takes a new random seed for each call and records it.
        on_undisclosed: what to do when a chain needs more than the adapter can disclose: 'error', or 'truncate' to
            what was shown, which is recorded.
        max_tokens, stop, stop_ids, ban, deadline: the defaults of every call; see `generate`.
        metadata: given to processors as ``ctx.metadata``.
        top_logprobs: how many leading tokens each step keeps, raw and after each processor.
        guesser: says which tokens may come next: a `Guesser`, a name, or a mapping of a name and parameters. It can
            make calls faster, and changes nothing else.

    Raises:
        ParameterError: ``on_undisclosed`` or a number is not valid, or the adapter or the chain is not one.
    """

    adapter: Adapter

    def _usable(self, adapter: Adapter | AsyncAdapter) -> Adapter:
        return blocking(adapter)

    def __repr__(self) -> str:
        behind = self.adapter.adapter if isinstance(self.adapter, BlockingAdapter) else self.adapter
        return f"Session({type(behind).__name__}, {self.chain!r}, seed={self.seed})"

    def close(self) -> None:
        """Close the adapter if this session built it. For a given async adapter, only end the thread of its loop.

        Waits for a call of the adapter that was begun ahead and is not needed any more.
        """
        if self.close_guesser is not None:
            self.close_guesser()
        drain(self.adapter)
        if self.owns_adapter:
            self.adapter.close()
        elif isinstance(self.adapter, BlockingAdapter) and self.adapter is not self.given_adapter:
            self.adapter.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    if not TYPE_CHECKING:  # type checkers refuse `async with` themselves

        async def __aenter__(self) -> Never:
            raise TypeError("this session is for 'with'; decodekit.aopen, or AsyncSession, is for 'async with'")

        async def __aexit__(self, *exception: object) -> None: ...

    def generate(self, prompt: Prompt, **options: Unpack[GenerationKeywords]) -> Result:
        """Continue one prompt.

        Args:
            prompt: text (no template is applied and markup is plain text; BOS and a leading space are added if the
                model's own tokenizer adds them), token ids, chat messages (the model's template is applied), or a
                `Prefix`.
            max_tokens: at most this many; the session's default when None.
            seed: the run's seed; the session's when None.
            stream: which noise of that seed to use; 0 by default.
            stop: texts that end the generation, in place of the session's; they are cut from the text. The name of a
                control token also stands for that token.
            stop_ids: ids that end the generation, in place of the session's.
            deadline: seconds from now after which no new token is started; the session's when None.
            until: a function that gets each `Step`; a true result ends the generation.
            trace: where the trace is written, step by step: the path of a new file (``.parquet``: a Parquet table, else
                JSON Lines), a sink (`decodekit.sink`), or a list of them.
            level: how much is recorded: 'none', 'choice', 'proof' (the default) or 'full'.
            ban: texts that must not be written, in place of the session's; names of control tokens are allowed. When
                one is complete, decoding goes back to the token in which it begins and draws again (see
                `decodekit.session.bans`). A step is returned when it can no longer be taken back; ``until`` gets it
                earlier.
            chain, top_logprobs, metadata, guesser: of this call; the session's when None. No guesser with "none".
            tools: definitions of functions in OpenAI's format, which the model of a provider that draws may call; the
                calls are in `Result.tool_calls`. Refused where decodekit draws.
            tool_choice: 'auto', 'none', 'required', or the tool to call:
                ``{"type": "function", "function": {"name": ...}}``.
            priority: among callers that wait for the same model, a higher one goes first.
            max_waiting: the call begins only if no more callers than this wait for the model; 10,000 by default.

        Raises:
            DecodekitError: with everything generated so far in ``partial``.
            Overloaded: too many callers wait for the model, and this call was not begun.
            TypeError: an option that does not exist.
        """
        return only_result(finish(self._one(prompt, options)))

    def stream(self, prompt: Prompt, **options: Unpack[GenerationKeywords]) -> Steps:
        """As `generate`, one `Step` at a time. The texts of the steps, joined, are the result's text.

        Closing the iterator early ends the run as 'cancelled'; its trace is complete. The session does not keep the
        steps: an error's ``partial`` has the ids and the text, but no steps.
        """
        run = self._one(prompt, options)
        return Steps(run, stream(run, keep=False))

    def generate_many(self, prompts: Iterable[Prompt], **options: Unpack[ManyKeywords]) -> list[list[Result]]:
        """Continue many prompts, ``n`` times each, in batches; the other options are those of `generate`.

        Sample j of prompt i uses stream ``i << 32 | j`` (plus ``stream``), so more prompts or samples do not change the
        noise of the others. A failing sequence ends with ``finish_reason='error'`` and does not end the others.

        Args:
            prompts: a list, of any form that `generate` takes; `as_completed` takes an iterator too.
            n: how many samples of each prompt; 1 by default.
            progress: a function that gets a `Progress` each time sequences have ended. If it raises, the run ends with
                that error, as with ``until``.
            options: those of `generate`.

        Returns:
            For each prompt its n results.
        """
        known = known_prompts(prompts)
        run = self._many(known, options)
        results, n = finish(run), run.options.n
        return [results[i * n : (i + 1) * n] for i in range(len(known))]

    def as_completed(self, prompts: Iterable[Prompt], **options: Unpack[ManyKeywords]) -> Iterator[Result]:
        """As `generate_many`, each result as soon as its sequence has ended; `Result.stream` tells which it is.

        A result's trace has the steps of its own sequence, and none is kept here. An iterator of prompts is read when
        there is room for another sequence, so memory is bounded by the sequences that run at the same time, however
        many prompts there are. What is no prompt then ends its own sequences with an error; in a list it is refused
        before anything is asked. With an iterator no ``trace`` file can be written, since its first line names all
        prompts. The result of a sequence that failed comes with the next step of another one, or at the end.
        """
        return as_completed(self._many(prompts, options))

    def score(self, prompt: Prompt, continuation: Continuation, **options: Unpack[ScoreKeywords]) -> Score:
        """How likely a continuation of a prompt is: the log-probability of each of its tokens.

        They are those of the adapter's distribution. The session's chain plays no part; with ``chain``,
        `Score.under_chain` has them under its law too. Nothing is drawn, and nothing given up: ``on_undisclosed`` is
        'error' here.

        Args:
            prompt: as for `generate`.
            continuation: text, or token ids. A text is tokenised together with the prompt, so that the ids are those
                that the model would see; see `Score.tokenised` for where that is not possible. Markup is plain text.
            chain: a chain, or a list of processors, whose law is wanted too. Its sampler is multinomial, inverse_cdf
                or greedy, and no part of it draws random numbers.
            metadata: for the chain's processors; the session's when None.
            priority, max_waiting: as for `generate`.

        Raises:
            Undisclosed: a token is not among those that the adapter can disclose; the message has an upper bound.
            ParameterError: a prompt, continuation or chain that cannot be scored.
            DecodekitError: as for `generate`, such as `ContextOverflow`.
            TypeError: an option that does not exist.
        """
        return self._scores(prompt, [continuation], options, several=False)[0]

    def rank(
        self, prompt: Prompt, candidates: Sequence[Continuation], *, by: By = "total", **options: Unpack[ScoreKeywords]
    ) -> list[Ranked]:
        """Continuations of one prompt, the most likely first, with their shares of the probability among them.

        Args:
            prompt: as for `generate`.
            candidates: continuations, as for `score`. All are asked for together.
            by: what is compared: 'total', the log-probability, which prefers short candidates; 'per_token' or
                'per_byte', that divided by the length.
            options: those of `score`. With ``chain`` the law of the chain decides.

        Raises:
            EmptySupport: no candidate has probability under the chain.
            ParameterError: no candidates, or two with the same tokens; and as `score`.
            DecodekitError, TypeError: as `score`.
        """
        return ranked(self._scores(prompt, known_candidates(candidates), options, several=True), by)

    def count_tokens(self, prompt: Prompt) -> int:
        """How many tokens the model reads of a prompt, BOS and those of the chat template included. It is not run.

        Raises:
            ParameterError: it is no prompt, or its tokens are not known (a server that takes texts).
        """
        connect(self.adapter)
        return count_tokens(self.adapter, prompt)

    def _scores(
        self, prompt: Prompt, candidates: Sequence[Continuation], options: ScoreKeywords, *, several: bool
    ) -> list[Score]:
        given = scoring_options(options, self.metadata)
        connect(self.adapter)
        prefix, tokens = prefix_and_tokens(self.adapter, prompt, candidates, several=several)
        log = RunLog(self.adapter.info.name)
        questions = scores(self.adapter, prefix, tokens, given, log)
        return answered(self.adapter, questions, log, priority=given.priority)

    def _one(self, prompt: Prompt, options: GenerationKeywords) -> Run:
        given = self.options_of(options)
        return begun(self.settings_of(given), [prompt], [given.stream], given)

    def _many(self, prompts: Iterable[Prompt], options: ManyKeywords) -> Run:
        given = self.options_of(options, ManyKeywords)
        return begun(self.settings_of(given), *prompts_and_streams(prompts, given.n, given.stream), given)
