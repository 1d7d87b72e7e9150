"""A stream of an answer that a provider draws is left open, and the interpreter ends."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio
from decodekit import AdapterInfo, Disclosure, Session
from decodekit.model.drawn import DrawnToken

class Drawing:
    described = {}
    async def adraw(self, prefixes):
        return [DrawnToken(7) for _ in prefixes]
    async def aclose(self):
        await asyncio.sleep(0)

class Provider:
    info = AdapterInfo(name="provider", model="m", vocab_size=9, cheap=Disclosure(), most=Disclosure())
    tokenizer = None
    async def apredict(self, prefixes, disclose=None):
        raise NotImplementedError
    async def aclose(self):
        await asyncio.sleep(0)
    def must_draw(self, tokens):
        return "it has no distributions"
    def drawing(self, terms):
        return Drawing()

session = Session(Provider(), "provider", seed=1)
left_open = session.stream([1, 2], max_tokens=5)
print(next(left_open).token_id)
"""


def test_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
