"""A TCP proxy between two processes of a test, which can be held up, slowed, made deaf or cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Passes bytes between whoever connects and `target` (host:port). All in the loop that started it."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self.target = target
        self._far = (host, int(port))
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._waiting = asyncio.Event()
        self._pipes: set[asyncio.Task[None]] = set()
        self._cut = False
        self._deaf = False
        self._era = 0
        self.delay_s = 0.0
        """Before each piece of up to 64 KiB, in each direction."""

    @property
    def address(self) -> str:
        """Where to connect."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listens on a free port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Ends everything."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def hold(self) -> None:
        """Keeps connections and whatever they say from now on: a half-open network."""
        self._waiting.clear()
        self._flowing.clear()

    async def held(self) -> None:
        """Returns once something was sent that is held."""
        await self._waiting.wait()

    def deafen(self) -> None:
        """What is asked arrives, no answer comes back."""
        self._deaf = True

    def cut(self) -> None:
        """Breaks all connections and takes none."""
        self._cut = True
        for pipe in self._pipes:
            pipe.cancel()

    def lose(self) -> None:
        """Forgets all connections without a word to either end; new ones work."""
        self._era += 1

    def mend(self) -> None:
        """Works again: what was held goes on."""
        self._cut = self._deaf = False
        self._flowing.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either end went, or the test cut it
        finally:
            self._pipes.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer: asyncio.StreamWriter | None = None
        era = self._era
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._far)
            there = asyncio.create_task(self._pump(reader, far_writer, era, answers=False))
            back = asyncio.create_task(self._pump(far_reader, writer, era, answers=True))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            for end in (writer, far_writer):
                if end is not None and self._cut:
                    end.transport.abort()
                elif end is not None:
                    end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, era: int, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(_CHUNK_BYTES):
                if not self._flowing.is_set():
                    self._waiting.set()
                    await self._flowing.wait()
                await asyncio.sleep(self.delay_s)
                if era == self._era and not (answers and self._deaf):
                    writer.write(piece)
                    await writer.drain()
