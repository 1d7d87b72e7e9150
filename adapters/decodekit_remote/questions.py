"""Asks for prefixes in as few requests as the server allows, and stores the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError, DecodekitError, DistributionError, ProviderError
from decodekit.model.adapter import Answer
from decodekit.model.prefix import Prefix
from decodekit_remote.answers import Answers
from decodekit_remote.dialect import Position, Reply, Request
from decodekit_remote.draft_length import DraftLength
from decodekit_remote.heads import is_repeated
from decodekit_remote.list_length import ListLength
from decodekit_remote.refusals import Refused
from decodekit_remote.server import Server
from decodekit_remote.streams import Streams, Wanted
from decodekit_remote.text_checks import TextChecks

__all__ = ["Questions"]

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
        """Rows in as few requests as the server allows."""
        chains, rest = self._chains(fresh)
        alone = [
            row for row in rest if not row.plain or not self._server.capabilities.batch or self._streams.next_for(row)
        ]
        together = [row for row in rest if row not in alone]
        if len(together) == 1:
            alone, together = alone + together, []
        questions: list[Coroutine[Any, Any, list[tuple[bytes, Answer]]]] = [self._ask_chain(chain) for chain in chains]
        questions += [self._ask_batch(together[at : at + _BATCH]) for at in range(0, len(together), _BATCH)]
        questions += [self._ask_alone(row) for row in alone]
        answers = await asyncio.gather(*questions)
        return [answer for some in answers for answer in some]

    async def _ask_alone(self, row: Wanted) -> list[tuple[bytes, Answer]]:
        try:
            return [(row.prefix.digest, await self._answer(row))]
        except DecodekitError as error:
            return [(row.prefix.digest, error)]

    async def _answer(self, row: Wanted) -> Distribution:
        prefix, want = row.prefix, row.want
        await self._checks.before(prefix)
        for ahead in [
            stream
            for stream in self._streams.running
            if stream.contains(prefix) and stream is not self._streams.next_for(row)
        ]:
            await self._streams.end(ahead)  # a server with one slot would finish it before it answers this
        if not row.plain:
            return await self._everything(row) if want.kind == "all" else await self._by_name(row)
        top = want.top or self._list_length.top
        again = top > self._list_length.top  # a list was too short; its draft is stored already, or unlikely
        stream = self._streams.next_for(row)
        if stream is None and not again and self._streams.should_open(prefix):
            stream = self._streams.open(prefix, top)
        if stream is not None:
            streamed = await self._streams.read(stream, row)
            if streamed is not None:
                return streamed
        begun = time.perf_counter()
        length = 1 if again else self._server.room(prefix, self._draft_length.length)
        question = self._question([prefix], top, tokens=length)
        (reply,) = await self._server.put(question)
        if reply.positions and self._adapts and not again:
            self._draft_length.observe_request(len(reply.positions), time.perf_counter() - begun)
        return await self._take(prefix, reply, question)

    async def _everything(self, row: Wanted) -> Distribution:
        question = replace(self._question([row.prefix], self._list_length.top), everything=True)
        (reply,) = await self._server.put(question)
        return await self._take(row.prefix, reply, question)

    async def _by_name(self, row: Wanted) -> Distribution:
        """Requested ids are asked for together with those of the head, so that one answer holds both."""
        head = self._answers.of(row.prefix.digest)
        if head is None or head.answer.token_ids is None:
            first = await self._answer(replace(row, want=Disclosure(row.want.top)))
        else:
            first = head.answer
        ids = first.token_ids
        assert ids is not None and first.tail is not None
        asked = list(dict.fromkeys([*row.want.ids, *ids.tolist()]))
        if len(asked) > self._server.capabilities.named_ids:
            asked = asked[: self._server.capabilities.named_ids]
        question = replace(self._question([row.prefix], len(asked)), named=tuple(asked))
        (reply,) = await self._server.put(question)
        if not reply.positions:
            return first
        bound = first.tail.max_logprob
        if set(ids.tolist()) - set(asked):  # the head did not fit in addition
            bound = max(bound or 0.0, float(first.logprobs.max()))
        self._answers.keep(row.prefix, reply.positions[0], question, 0, reply, bound=bound)
        return self._given(row.prefix)

    async def _ask_batch(self, rows: Sequence[Wanted]) -> list[tuple[bytes, Answer]]:
        """Several prompts in one request; one by one if it is refused, to find the one that causes it."""
        top = max(row.want.top or self._list_length.top for row in rows)
        length = min(self._server.room(row.prefix, self._draft_length.length) for row in rows)
        question = self._question([row.prefix for row in rows], top, tokens=length)
        try:
            replies = await self._server.put(question)
        except AdapterError as error:
            if isinstance(error, Refused) and error.status not in (400, 413, 422):
                return [(row.prefix.digest, error) for row in rows]
            return [answer for some in await asyncio.gather(*map(self._ask_alone, rows)) for answer in some]
        return list(
            await asyncio.gather(
                *(self._taken(row.prefix, reply, question) for row, reply in zip(rows, replies, strict=True))
            )
        )

    async def _taken(self, prefix: Prefix, reply: Reply, question: Request) -> tuple[bytes, Answer]:
        try:
            return prefix.digest, await self._take(prefix, reply, question)
        except DecodekitError as error:
            return prefix.digest, error

    def _chains(self, rows: list[Wanted]) -> tuple[list[list[Wanted]], list[Wanted]]:
        """Rows that are ancestors of one another, shortest first, where one request can score them all."""
        if not self._server.capabilities.echo or len(rows) < 2:
            return [], rows
        plain = {row.prefix.digest: row for row in rows if row.plain and self._streams.next_for(row) is None}
        chains = []
        for row in sorted(plain.values(), key=lambda row: -len(row.prefix)):
            if row.prefix.digest not in plain:
                continue
            at, chain = Prefix(), []
            for token in row.prefix.token_ids:
                at = at.extend([token])
                if at.digest in plain:
                    chain.append(plain[at.digest])
            if len(chain) > 1:
                chains.append(chain)
                for each in chain:
                    del plain[each.prefix.digest]
        placed = {each.prefix.digest for chain in chains for each in chain}
        return chains, [row for row in rows if row.prefix.digest not in placed]

    async def _ask_chain(self, chain: list[Wanted]) -> list[tuple[bytes, Answer]]:
        longest = chain[-1].prefix
        top = max(row.want.top or self._list_length.top for row in chain)
        question = replace(self._question([longest], top), echo=True)
        try:
            (reply,) = await self._server.put(question)
            if len(reply.prompt) != len(longest) - 1 or not reply.positions:
                raise ProviderError(
                    f"{self._server.transport.base_url} scored {len(reply.prompt)} of {len(longest) - 1} tokens"
                )
        except DecodekitError:  # so that only the bad row fails: ask them one by one
            return [answer for some in await asyncio.gather(*map(self._ask_alone, chain)) for answer in some]
        answers: list[tuple[bytes, Answer]] = []
        for row in chain:
            listed = reply.positions[0] if row.prefix == longest else reply.prompt[len(row.prefix) - 1]
            if listed is None:
                answers += await self._ask_alone(row)
                continue
            position = listed if row.prefix == longest else _unchosen(listed)
            try:
                self._answers.keep(row.prefix, position, question, 0, reply)
                answers.append((row.prefix.digest, self._given(row.prefix)))
            except DecodekitError as error:
                answers.append((row.prefix.digest, error))
        return answers

    async def _take(self, prefix: Prefix, reply: Reply, question: Request) -> Distribution:
        """Store a reply's lists for their prefixes, and return the first."""
        if not reply.positions:
            return await self._force_list(prefix, reply, question)
        at: Prefix | None = prefix
        positions = reply.positions
        if question.force is not None:
            if positions[0].chosen != question.force:
                raise ProviderError(
                    f"{self._server.transport.base_url} was forced to token {question.force} and returned another one"
                )
            positions = [_unchosen(positions[0])]
        for place, position in enumerate(positions):
            if place and is_repeated(positions[place - 1], position):
                raise DistributionError(
                    "the server gave the same list for two positions, bit for bit: it repeats the first"
                )
            if at is None:
                break
            try:
                at = self._answers.keep(at, position, question, place, reply)
            except DecodekitError:
                if place == 0:
                    raise
                break  # it will be requested separately, and then the error belongs to that prefix
        if reply.cut and at is not None:
            self._answers.mark_unlisted(at)
        return self._given(prefix)

    async def _force_list(self, prefix: Prefix, reply: Reply, question: Request) -> Distribution:
        """A list that is missing because its token ends inside a character is returned when another token is forced."""
        filler = self._server.info.filler
        if not self._server.capabilities.forces or filler is None or question.force is not None:
            raise ProviderError(
                f"{self._server.transport.base_url} answered without a list of logprobs for its first token: "
                "the text may end here, and the server does not say how likely that is"
            )
        self._answers.mark_unlisted(prefix)
        forced = self._question([prefix], question.top)
        (again,) = await self._server.put(forced)
        return await self._take(prefix, again, forced)

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
