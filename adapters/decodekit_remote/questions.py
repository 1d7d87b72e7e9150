"""Asks for prefixes in as few requests as the server allows, and stores the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import AdapterError, DecodekitError, DistributionError, ProviderError
from decodekit.log import get_logger
from decodekit.model.adapter import Answer
from decodekit.model.prefix import Prefix
from decodekit_remote.answers import Answers
from decodekit_remote.dialect import Position, Reply, Request
from decodekit_remote.draft_length import DraftLength
from decodekit_remote.list_distribution import is_repeated
from decodekit_remote.list_length import ListLength
from decodekit_remote.named_tokens import named_tokens
from decodekit_remote.prompt_counts import Miscounted
from decodekit_remote.refusals import Refused
from decodekit_remote.server import Server
from decodekit_remote.streams import Streams, Wanted
from decodekit_remote.text_checks import Retokenised, TextChecks

__all__ = ["Questions"]

_SPARE = 4  # entries more than are wanted, where equal texts are one
_BATCH = 32  # prompts in one request


class Questions:
    """Asks one server.

    Args:
        server: the server to ask.
        answers: stores the answers.
        streams: the running streams.
        draft_length: how many tokens to ask for.
        list_length: how many to list.
        checks: what is checked of prefixes that go out as text.
        adapts: whether the draft length adapts to measured times.
    """

    def __init__(
        self,
        server: Server,
        answers: Answers,
        streams: Streams,
        draft_length: DraftLength,
        list_length: ListLength,
        checks: TextChecks,
        *,
        adapts: bool,
    ) -> None:
        self._checks = checks
        self._server, self._answers, self._streams = server, answers, streams
        self._draft_length, self._list_length, self._adapts = draft_length, list_length, adapts

    async def ask_all(self, fresh: list[Wanted]) -> list[tuple[bytes, Answer]]:
        """Asks for all of these in as few requests as the server allows."""
        chains, rest = self._chains(fresh)
        batches = self._server.capabilities.batch
        alone = [wanted for wanted in rest if not (wanted.plain and batches) or self._streams.next_for(wanted)]
        together = [wanted for wanted in rest if wanted not in alone]
        if len(together) == 1:
            alone, together = alone + together, []
        questions: list[Coroutine[Any, Any, list[tuple[bytes, Answer]]]] = [self._ask_chain(chain) for chain in chains]
        questions += [self._ask_batch(together[at : at + _BATCH]) for at in range(0, len(together), _BATCH)]
        questions += [self._ask_alone(wanted) for wanted in alone]
        answers = await asyncio.gather(*questions)
        return [answer for some in answers for answer in some]

    async def _ask_alone(self, wanted: Wanted) -> list[tuple[bytes, Answer]]:
        try:
            try:
                answer = await self._settled(wanted)
            except Miscounted:
                await self._checks.counts.settle(wanted.prefix)
                answer = await self._settled(wanted)
            return [(wanted.prefix.digest, answer)]
        except DecodekitError as error:
            return [(wanted.prefix.digest, error)]

    async def _settled(self, wanted: Wanted) -> Distribution:
        """The answer; where the server makes other tokens of the text, its answer begins with those that are meant."""
        try:
            return await self._answer(wanted)
        except Retokenised:
            if not await self._checks.begin_with_tokens(wanted.prefix):
                raise
            return await self._answer(wanted)

    async def _answer(self, wanted: Wanted) -> Distribution:
        prefix, want = wanted.prefix, wanted.disclosure
        if self._server.vocabulary is not None and self._server.vocabulary.assumes and want.top is not None:
            want = replace(want, top=want.top + _SPARE + want.top // 8)  # equal texts are one entry
        stream = self._streams.next_for(wanted) if wanted.plain else None
        if stream is None:  # a stream goes on with the tokens that the server chose itself
            await self._checks.before(prefix)
            await self._count(self._checks.counts.uncounted(prefix, stream=False))
        for ahead in [
            stream
            for stream in self._streams.running
            if stream.contains(prefix) and stream is not self._streams.next_for(wanted)
        ]:
            await self._streams.end(ahead)  # a server with one slot would finish it before it answers this
        if not wanted.plain:
            return await self._everything(wanted) if want.kind == "all" else await self._by_name(wanted)
        top = want.top or self._list_length.top
        again = (
            wanted.disclosure.top or 0
        ) > self._list_length.top  # a list was too short; its draft is stored already, or unlikely
        opened = stream is None and not again and self._streams.should_open(prefix)
        if opened:
            await self._count(self._checks.counts.uncounted(prefix, stream=True))
            stream = self._streams.open(prefix, top)
        if stream is not None:
            streamed = await self._streams.read(stream, wanted)
            if streamed is not None:
                return streamed
            if not opened:
                await self._checks.before(prefix)
        begun = time.perf_counter()
        length = 1 if again else self._server.room(prefix, self._draft_length.length)
        question = self._question([prefix], top, tokens=length)
        (reply,) = await self._server.put(question)
        if reply.positions and self._adapts and not again:
            self._draft_length.observe_request(len(reply.positions), time.perf_counter() - begun)
        return await self._take(prefix, reply, question, wanted.least)

    async def _count(self, prefixes: Sequence[Prefix]) -> None:
        """Request one token after each, for the number of tokens that the server makes of its text."""
        for prefix in prefixes:
            (reply,) = await self._server.put(self._question([prefix], min(self._list_length.top, 5)))
            self._checks.after(prefix, reply, {})

    async def _everything(self, wanted: Wanted) -> Distribution:
        question = replace(self._question([wanted.prefix], self._list_length.top), everything=True)
        (reply,) = await self._server.put(question)
        return await self._take(wanted.prefix, reply, question)

    async def _by_name(self, wanted: Wanted) -> Distribution:
        """Requested ids are asked for together with those of the head, so that one answer holds both."""
        head, plain = self._answers.of(wanted.prefix.digest), Disclosure(wanted.disclosure.top)
        if head is None or not head.covers(plain):
            first = await self._answer(replace(wanted, disclosure=plain, least=plain))
        else:
            first = head.answer
        ids = first.token_ids
        if ids is None or first.tail is None:
            return first
        if not self._server.capabilities.named_ids:
            return await self._by_choice(wanted, first)
        asked = list(dict.fromkeys([*wanted.disclosure.ids, *ids.tolist()]))
        if len(asked) > self._server.capabilities.named_ids:
            asked = asked[: self._server.capabilities.named_ids]
        question = replace(self._question([wanted.prefix], len(asked)), named=tuple(asked))
        (reply,) = await self._server.put(question)
        if not reply.positions:
            return first
        bound = first.tail.max_logprob
        if set(ids.tolist()) - set(asked):  # the head did not fit in addition
            bound = max(bound or 0.0, float(first.logprobs.max()))
        self._answers.keep(wanted.prefix, reply.positions[0], question, 0, reply, bound=bound)
        return self._given(wanted.prefix)

    async def _by_choice(self, wanted: Wanted, first: Distribution) -> Distribution:
        """The list with the values of the requested ids, each as the server gives it when it chooses that token."""
        prefix, ids, tail = wanted.prefix, wanted.disclosure.ids, first.tail
        assert first.token_ids is not None and tail is not None
        question = replace(self._question([prefix], len(first.token_ids)), force=None)
        known = dict(zip(first.token_ids.tolist(), first.logprobs.tolist(), strict=True))
        try:
            position = await named_tokens(self._server, question, known, ids)
        except AdapterError as error:
            get_logger().warning("tokens could not be asked for by name, so a longer list is", why=str(error))
            longest = Disclosure(self._server.capabilities.most_top)
            return await self._answer(replace(wanted, disclosure=longest, least=longest))
        bound = 0.0 if tail.max_logprob is None else tail.max_logprob
        top = wanted.disclosure.top or self._list_length.top
        asked = replace(question, top=top, named=ids)
        self._answers.keep(prefix, position, asked, 0, Reply([position]), bound=bound)
        return self._given(prefix)

    async def _ask_batch(self, batch: Sequence[Wanted]) -> list[tuple[bytes, Answer]]:
        """Several prompts in one request; one by one if it is refused, to find the one that causes it."""
        top = max(wanted.disclosure.top or self._list_length.top for wanted in batch)
        length = min(self._server.room(wanted.prefix, self._draft_length.length) for wanted in batch)
        question = self._question([wanted.prefix for wanted in batch], top, tokens=length)
        try:
            replies = await self._server.put(question)
        except AdapterError as error:
            if isinstance(error, Refused) and error.status not in (400, 413, 422):
                return [(wanted.prefix.digest, error) for wanted in batch]
            return [answer for some in await asyncio.gather(*map(self._ask_alone, batch)) for answer in some]
        return list(
            await asyncio.gather(
                *(self._taken(wanted.prefix, reply, question) for wanted, reply in zip(batch, replies, strict=True))
            )
        )

    async def _taken(self, prefix: Prefix, reply: Reply, question: Request) -> tuple[bytes, Answer]:
        try:
            return prefix.digest, await self._take(prefix, reply, question)
        except DecodekitError as error:
            return prefix.digest, error

    def _chains(self, fresh: list[Wanted]) -> tuple[list[list[Wanted]], list[Wanted]]:
        """Prefixes that are ancestors of one another, shortest first, where one request can score them all."""
        if not self._server.capabilities.echo or len(fresh) < 2:
            return [], fresh
        unstreamed = [wanted for wanted in fresh if wanted.plain and self._streams.next_for(wanted) is None]
        plain = {wanted.prefix.digest: wanted for wanted in unstreamed}
        chains = []
        for wanted in sorted(plain.values(), key=lambda wanted: -len(wanted.prefix)):
            if wanted.prefix.digest not in plain:
                continue
            at, chain = Prefix(), []
            for token in wanted.prefix.token_ids:
                at = at.extend([token])
                if at.digest in plain:
                    chain.append(plain[at.digest])
            if len(chain) > 1:
                chains.append(chain)
                for each in chain:
                    del plain[each.prefix.digest]
        placed = {each.prefix.digest for chain in chains for each in chain}
        return chains, [wanted for wanted in fresh if wanted.prefix.digest not in placed]

    async def _ask_chain(self, chain: list[Wanted]) -> list[tuple[bytes, Answer]]:
        longest = chain[-1].prefix
        top = max(wanted.disclosure.top or self._list_length.top for wanted in chain)
        question = replace(self._question([longest], top), echo=True)
        try:
            (reply,) = await self._server.put(question)
            if len(reply.prompt) != len(longest) - 1 or not reply.positions:
                raise ProviderError(
                    f"{self._server.transport.base_url} scored {len(reply.prompt)} of {len(longest) - 1} tokens"
                )
        except DecodekitError:  # so that only the bad prefix fails: ask them one by one
            return [answer for some in await asyncio.gather(*map(self._ask_alone, chain)) for answer in some]
        answers: list[tuple[bytes, Answer]] = []
        for wanted in chain:
            listed = reply.positions[0] if wanted.prefix == longest else reply.prompt[len(wanted.prefix) - 1]
            if listed is None:
                answers += await self._ask_alone(wanted)
                continue
            position = listed if wanted.prefix == longest else _unchosen(listed)
            try:
                self._answers.keep(wanted.prefix, position, question, 0, reply)
                answers.append((wanted.prefix.digest, self._given(wanted.prefix)))
            except DecodekitError as error:
                answers.append((wanted.prefix.digest, error))
        return answers

    async def _take(self, prefix: Prefix, reply: Reply, question: Request, least: Disclosure = ALL) -> Distribution:
        """Store a reply's lists for their prefixes, and return the first, which must cover ``least`` if it can."""
        if not reply.positions:
            return await self._force_list(prefix, reply, question, least)
        at: Prefix | None = prefix
        positions, bound = list(reply.positions), None
        if question.force is not None:
            if positions[0].chosen != question.force:
                raise ProviderError(
                    f"{self._server.transport.base_url} was forced to token {question.force} and returned another one"
                )
            positions = [_unchosen(positions[0])]
        if self._answers.same_texts.are_in(positions[0], least):
            positions[0], bound = await self._answers.same_texts.told_apart(prefix, positions[0], question)
        for place, position in enumerate(positions):
            if place and is_repeated(positions[place - 1], position):
                raise DistributionError(
                    "the server gave the same list for two positions, bit for bit: it repeats the first"
                )
            if at is None:
                break
            try:
                at = self._answers.keep(at, position, question, place, reply, bound=bound if place == 0 else None)
            except DecodekitError:
                if place == 0:
                    raise
                break  # it will be requested separately, and then the error belongs to that prefix
        if reply.cut and at is not None:
            self._answers.mark_unlisted(at)
        return self._given(prefix)

    async def _force_list(self, prefix: Prefix, reply: Reply, question: Request, least: Disclosure) -> Distribution:
        """A list that is missing because its token ends inside a character is returned when another token is forced."""
        filler = self._server.info.filler
        if not self._server.capabilities.forces or filler is None or question.force is not None:
            raise ProviderError(
                f"{self._server.transport.base_url} answered without a list of logprobs for its first token: "
                "the text may end here, or its next token is part of a character, and the server does not say how "
                "likely that is"
            )
        self._answers.mark_unlisted(prefix)
        forced = self._question([prefix], question.top)
        (again,) = await self._server.put(forced)
        return await self._take(prefix, again, forced, least)

    def _question(self, prefixes: Sequence[Prefix], top: int, *, tokens: int = 1) -> Request:
        unlisted = len(prefixes) == 1 and self._answers.is_unlisted(prefixes[0])
        return self._server.question(prefixes, top, tokens=tokens, force=self._server.info.filler if unlisted else None)

    def _given(self, prefix: Prefix) -> Distribution:
        kept = self._answers.fresh(prefix)
        assert kept is not None
        return kept.answer


def _unchosen(position: Position) -> Position:
    """Without the server's chosen token: it was forced, or is part of the prompt."""
    return replace(position, chosen=None)
