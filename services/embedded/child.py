"""One supervised process through all of its lives."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from services.core import lifeline
from services.embedded.logfile import RotatedLog
from services.embedded.spec import Backoff, ProcessSpec

NOT_STARTED = 127  # as a shell says it
_CHUNK_BYTES = 64 * 1024
_LINE_LIMIT_BYTES = 1024 * 1024
_PROBE_STARTING_S = 0.05
_PROBE_READY_S = 2.0


class Child:
    """Starts a process, keeps its log, watches its readiness, starts it again when it dies."""

    def __init__(
        self,
        spec: ProcessSpec,
        *,
        log: RotatedLog,
        backoff: Backoff,
        changed: Callable[[], object],
        report: Callable[[str, int, float], None],
    ) -> None:
        self.spec = spec
        self.pid: int | None = None
        self.ready = False
        self.ever_ready = False
        self.restarts = 0
        self.deaths = 0  # in a row, without a minute of health between
        self.started_at: float | None = None  # wall clock, seconds
        self.last_status: int | None = None  # of the last death; negative: the signal that ended it
        self._log = log
        self._backoff = backoff
        self._changed = changed
        self._report = report
        self._stopping = asyncio.Event()
        self._pumps: set[asyncio.Task[None]] = set()

    async def keep(self) -> None:
        """Run the process until `stop`, through as many lives as it takes."""
        while not self._stopping.is_set():
            status, healthy_s = await self._live()
            if self._stopping.is_set():
                return
            self.deaths = 1 if healthy_s >= self._backoff.healthy_s else self.deaths + 1
            self.last_status = status
            delay = self._backoff.delay(self.deaths)
            self._report(self.spec.name, status, delay)
            self._changed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._stopping.wait()
            self.restarts += 1

    async def stop(self, running: "asyncio.Task[None]") -> None:
        """Ask the process to end, kill it after its time, and wait for `running`, the task of `keep`."""
        self._stopping.set()
        self._ask_to_stop()
        done, _ = await asyncio.wait({running}, timeout=self.spec.stop_s)
        if not done:
            self.kill()
        await running
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        self._log.close()

    def _ask_to_stop(self) -> None:
        if self.pid is not None:
            # To the process alone: what it started ends in the order that it decides.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, self.spec.stop_signal)

    def kill(self) -> None:
        """End the process and its group at once."""
        if self.pid is not None:
            lifeline.signal_group(self.pid, signal.SIGKILL)

    async def _live(self) -> tuple[int, float]:
        """One life: the exit status, and for how many seconds the process was ready."""
        try:
            process = await self._spawn()
        except (OSError, RuntimeError) as error:
            self._write(f"{type(error).__name__}: {error}\n".encode())
            return NOT_STARTED, 0.0
        self.pid, self.started_at = process.pid, time.time()
        if self._stopping.is_set():  # while the process was being prepared or started
            self._ask_to_stop()
        self._changed()
        ready_since: list[float] = []
        watch = asyncio.create_task(self._watch(ready_since))
        status = await process.wait()
        watch.cancel()
        await self._sweep(process.pid)
        self.pid, self.ready = None, False
        return status, time.monotonic() - ready_since[0] if ready_since else 0.0

    async def _spawn(self) -> asyncio.subprocess.Process:
        argv = await asyncio.to_thread(self.spec.argv) if callable(self.spec.argv) else self.spec.argv
        # A pipe of our own: asyncio's would make wait() wait for grandchildren that hold it, too.
        reading, writing = os.pipe()
        try:
            process = await lifeline.spawn(argv, env=self.spec.env, cwd=self.spec.cwd, stdout=writing, stderr=writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        pump = asyncio.create_task(self._pump(reading))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        return process

    async def _sweep(self, group: int) -> None:
        deadline = time.monotonic() + self.spec.orphan_s
        while time.monotonic() < deadline and _group_exists(group):  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(0.05)
        lifeline.signal_group(group, signal.SIGKILL)

    async def _watch(self, ready_since: list[float]) -> None:
        while True:
            ready = self.spec.ready is None or await self.spec.ready()
            if ready != self.ready:
                self.ready = ready
                self.ever_ready |= ready
                ready_since[:] = [time.monotonic()] if ready else []
                self._changed()
            await asyncio.sleep(_PROBE_READY_S if ready else _PROBE_STARTING_S)

    async def _pump(self, reading: int) -> None:
        """Bring what the process writes into its log, in whole lines where they are of sane length."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(reading, "rb"))
        held = b""
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                held += chunk
                cut = held.rfind(b"\n") + 1 or (len(held) if len(held) > _LINE_LIMIT_BYTES else 0)
                self._write(held[:cut])
                held = held[cut:]
        finally:
            self._write(held)
            transport.close()

    def _write(self, lines: bytes) -> None:
        # A full disk must not stop the reading: the process would block on its own output.
        with contextlib.suppress(OSError, ValueError):
            if lines:
                self._log.write(lines)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
