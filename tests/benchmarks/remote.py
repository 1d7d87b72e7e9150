"""The remote adapter against one request per token, and against its own predictions, with delays on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import decodekit
from decodekit.testing import BytesTokenizer
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TableServer, serving

from .timing import Ratio, paired

DELAY, PAUSE = 0.05, 0.002  # seconds per request and per token
TOKENS = 60
CHAINS = {
    "T=0.3": [decodekit.processor("temperature", temperature=0.3)],
    "T=0.7 top_p=0.9": [decodekit.processor("temperature", temperature=0.7), decodekit.processor("top_p", top_p=0.9)],
    "T=1": [],
}


def generating(server: TableServer, chain: str, draft: int | str) -> Callable[[], object]:
    """A run of so many tokens, each with another stream of noise."""
    adapter = RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer(), draft=draft, top=257)  # type: ignore[arg-type]
    session = decodekit.Session(adapter, decodekit.Chain(CHAINS[chain]), seed=3)
    streams = iter(range(10**9))
    return lambda: session.generate("the cat ", max_tokens=TOKENS, stream=next(streams))


def measure() -> Iterator[Ratio]:
    for chain in CHAINS:
        for draft in (4, 16, "stream", "auto"):
            with serving(delay=DELAY, pause=PAUSE) as server:
                yield paired(
                    f"{chain}, draft={draft}, 50 ms a trip",
                    "one request per token",
                    generating(server, chain, draft),
                    generating(server, chain, 1),
                    rounds=3,
                    goal=0.5,
                )
