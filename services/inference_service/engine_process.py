"""One engine process as the API process sees it: start, adapters, requests, death."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from subprocess import PIPE

import psutil

from services.core import lifeline
from services.inference_service.engines import protocol
from services.inference_service.errors import EngineLost, ModelNotLoadable
from services.inference_service.gpus import Place

_LOG = logging.getLogger(__name__)
_LINE_BYTES = 1 << 22
# What an engine may see of our environment: nothing secret.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "TMPDIR",
    "OMP_NUM_THREADS",
)


class EngineProcess:
    """A child that holds the weights of one directory. All methods are of one event loop."""

    def __init__(self, process: asyncio.subprocess.Process, place: Place) -> None:
        self._process = process
        self._place = place
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._adapters: dict[str, asyncio.Future[None]] = {}
        self._requests: dict[str, asyncio.Queue[protocol.Message | None]] = {}
        self._load_error = ""
        self.dead = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, module: str, directory: Path, *, place: Place, max_rows: int, threads: int) -> EngineProcess:
        """Starts the module on a directory; `ready` tells when it answers. The place is given back at its end."""
        argv = [sys.executable, "-m", module, directory, "--max-rows", str(max_rows), "--threads", str(threads)]
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        told = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}
        try:
            process = await lifeline.spawn(
                [str(word) for word in argv],
                env={**environment, **told, **place.environment},
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=place.locks,
                limit=_LINE_BYTES,
            )
        except BaseException:
            place.give_back()
            raise
        return cls(process, place)

    async def ready(self) -> None:
        """Returns when the weights are in memory.

        Raises:
            ModelNotLoadable: they could not be read.
        """
        await asyncio.shield(self._ready)

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the process; 0 when it has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    @property
    def gpu(self) -> int | None:
        """The GPU that it keeps from others; None where it computes on the processor."""
        return self._place.gpu

    @property
    def active_requests(self) -> int:
        """Requests that wait or run."""
        return len(self._requests)

    async def load_adapter(self, digest: str, directory: Path) -> None:
        """Returns when the adapter answers; the second caller waits for the first.

        Raises:
            ModelNotLoadable: it could not be read.
        """
        loading = self._adapters.get(digest)
        if loading is None:
            loading = self._adapters[digest] = asyncio.get_running_loop().create_future()
            self._send(protocol.LoadAdapter(digest=digest, directory=str(directory)))
        await asyncio.shield(loading)

    def unload_adapter(self, digest: str) -> None:
        """Forgets an adapter that no request uses."""
        if self._adapters.pop(digest, None) is not None:
            self._send(protocol.UnloadAdapter(digest=digest))

    async def generate(
        self, request: protocol.Generate
    ) -> AsyncGenerator[protocol.Text | protocol.End | protocol.Refused, None]:
        """The pieces of a completion, ending with End or Refused. Closing the iterator cancels the request.

        Raises:
            EngineLost: the process died before the end.
        """
        inbox: asyncio.Queue[protocol.Message | None] = asyncio.Queue()
        self._requests[request.request] = inbox
        ended = False
        try:
            self._send(request)
            while not ended:
                message = await inbox.get()
                if not isinstance(message, protocol.Text | protocol.End | protocol.Refused):
                    raise EngineLost
                ended = not isinstance(message, protocol.Text)
                yield message
        finally:
            del self._requests[request.request]
            if not ended:
                self._send(protocol.Cancel(request=request.request))

    async def stop(self) -> None:
        """Ends the process; running requests end with EngineLost."""
        await lifeline.end(self._process, grace_s=2.0)
        await self._reader

    def _send(self, message: protocol.Message) -> None:
        stdin = self._process.stdin
        if stdin is not None and not self.dead.is_set() and not stdin.is_closing():
            stdin.write(protocol.encode(message))
        elif isinstance(message, protocol.Generate | protocol.LoadAdapter):
            raise EngineLost

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        async for line in self._process.stdout:
            self._take(protocol.decode(line))
        status = await self._process.wait()
        _LOG.info("engine ended", extra={"pid": self._process.pid, "status": status})
        self._die()

    def _take(self, message: protocol.Message) -> None:
        match message:
            case protocol.Ready():
                self._ready.set_result(None)
            case protocol.LoadFailed():
                self._load_error = message.detail
            case protocol.AdapterLoaded():
                self._settle_adapter(message.digest, None)
            case protocol.AdapterFailed():
                self._settle_adapter(message.digest, ModelNotLoadable(detail=message.detail))
            case protocol.Text() | protocol.End() | protocol.Refused():
                inbox = self._requests.get(message.request)
                if inbox is not None:
                    inbox.put_nowait(message)

    def _settle_adapter(self, digest: str, error: Exception | None) -> None:
        loading = self._adapters.get(digest)
        if loading is None or loading.done():
            return
        if error is None:
            loading.set_result(None)
        else:
            del self._adapters[digest]
            _fail(loading, error)

    def _die(self) -> None:
        self.dead.set()
        self._place.give_back()
        lost = ModelNotLoadable(detail=self._load_error) if self._load_error else EngineLost()
        if not self._ready.done():
            _fail(self._ready, lost)
        for digest in list(self._adapters):
            self._settle_adapter(digest, lost)
        for inbox in self._requests.values():
            inbox.put_nowait(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # seen here, so that a future that nobody awaits is not reported
