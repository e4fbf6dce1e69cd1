"""Asking a process whether it is ready, without an HTTP library in the supervisor."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class HttpReady:
    """Ready when a GET of `url` answers 200."""

    url: str
    timeout_s: float = 2.0

    async def __call__(self) -> bool:
        """One attempt; a refused connection, a late or an odd answer means not ready."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._get() == 200
        except (OSError, TimeoutError, ValueError, IndexError):
            return False

    async def _get(self) -> int:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
            await writer.drain()
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()
