"""A server that is far away: bytes pass through here, each half a round trip late; so do connecting and closing.

Run as a program, so that it shares no interpreter with what is measured: `python far.py HOST PORT SECONDS` prints the
port it listens on. One handshake takes a round trip before the first byte may be sent.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: float) -> None:
    """Pass on what comes, each piece so late; the pieces overlap, as on a wire."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    delivering = asyncio.create_task(deliver())
    data = b"begin"
    while data:
        try:
            data = await reader.read(1 << 16)
        except OSError:
            data = b""
        queue.put_nowait((loop.time() + late, data))
    with suppress(OSError):
        await delivering


async def _serve(host: str, port: int, trip: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(trip)
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(_pump(reader, back, trip / 2), _pump(there, writer, trip / 2), return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def far(url: str, trip: float) -> Iterator[str]:
    """The address of a server at ``url`` as seen from so many seconds' round trip away."""
    host, port = url.removeprefix("http://").split(":")
    command = [sys.executable, str(Path(__file__)), host, port, str(trip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield f"http://127.0.0.1:{running.stdout.readline().strip()}"
        finally:
            running.terminate()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
