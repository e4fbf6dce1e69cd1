"""The agents that this worker started: each a child that ends with it, in a folder of its own."""

from __future__ import annotations

import asyncio
import fcntl
import fnmatch
import logging
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import grpc
from aift.training.v1 import worker_pb2, worker_pb2_grpc

from services.core import lifeline
from services.core.channels import channel
from services.training_service import messages
from services.training_service.agent import handover
from services.training_service.domain import Failure
from services.training_service.settings import WorkerSettings

log = logging.getLogger(__name__)

_DIED = Failure(
    reason="AGENT_DIED",
    en="The agent of the attempt ended without telling how.",
    ja="試行のエージェントが結果を報告せずに終了しました。",
)
# The worker's own identity and whatever else looks like a secret; agents have their attempt's token instead.
_SECRET = ("AIFT_SERVICE_TOKEN_FILE", "*TOKEN", "*SECRET*", "*PASSWORD*", "*_KEY", "*_URL")
# Weights & Biases is told by a child of the agent; its ranks see none of these.
_NEEDED = "WANDB_*"
_LOCK = "agent.lock"


class Agent:
    """One attempt that runs here."""

    def __init__(self, assignment: worker_pb2.Assignment, devices: Sequence[str], settings: WorkerSettings) -> None:
        self.assignment = assignment
        self.devices = tuple(devices)
        self._settings = settings
        ids = assignment.attempt.split("/")
        self._directory = settings.worker_path / "attempts" / f"{ids[1]}.{ids[3]}.{assignment.fence}"
        self._process: asyncio.subprocess.Process | None = None
        self._released = False

    async def run(self) -> None:
        """Starts the agent and waits for its end. One that ends without having told how is told of."""
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            with (self._directory / _LOCK).open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # The agent inherits the lock: the folder is in use for as long as either of us lives.
                status = await self._run(lock.fileno())
            if status != 0:
                log.warning("agent ended", extra={"attempt": self.assignment.attempt, "status": status})
                await self._tell_of_death()
        finally:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _run(self, lock: int) -> int:
        given = handover.Handover(assignment=self.assignment, devices=self.devices, directory=self._directory)
        argv = [sys.executable, "-m", "services.training_service", "agent"]
        process = self._process = await lifeline.spawn(
            argv, env=_environment(), stdin=asyncio.subprocess.PIPE, pass_fds=(lock,)
        )
        helpers = [
            asyncio.create_task(self._keep_lease_until(given.started)),
            asyncio.create_task(self._end_when_frozen(given.pulse, process)),
        ]
        try:
            assert process.stdin is not None  # noqa: S101 - a pipe was asked for
            with suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(given.encode())
                await process.stdin.drain()
            process.stdin.close()
            return await process.wait()
        finally:
            for helper in helpers:
                helper.cancel()
            lifeline.signal_group(process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Asks the agent to save and give its job back."""
        self._released = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def _keep_lease_until(self, started: Path) -> None:
        """A slow machine may need longer than a lease until the agent speaks for itself."""
        every_s = self.assignment.lease.ToTimedelta().total_seconds() / 3
        request = worker_pb2.HeartbeatRequest(attempt=self.assignment.attempt)
        async with self._link() as link:
            stub = _stub(link)
            while not started.exists():
                try:
                    await stub.Heartbeat(request, timeout=every_s)
                except grpc.aio.AioRpcError as error:
                    log.info("the lease was not renewed: %s", error.code().name)
                await asyncio.sleep(every_s)

    async def _end_when_frozen(self, pulse: Path, process: asyncio.subprocess.Process) -> None:
        """An agent that lives but does not move would hold its devices for ever. Looks are counted, not seconds: they
        do not pass while the whole machine, or this worker with its agent, stands still."""
        last, silent = None, 0
        while silent * handover.PULSE_S < self._settings.agent_silence_seconds:
            await asyncio.sleep(handover.PULSE_S)
            now = pulse.stat().st_mtime_ns if pulse.exists() else None
            silent = silent + 1 if now is not None and now == last else 0
            last = now
        log.warning("agent does not move and is killed", extra={"attempt": self.assignment.attempt})
        process.kill()

    async def _tell_of_death(self) -> None:
        """So that the job need not wait until its lease runs out. The attempt's token is all that this needs."""
        request = worker_pb2.FinishAttemptRequest(attempt=self.assignment.attempt)
        if self._released:
            request.outcome = worker_pb2.ATTEMPT_OUTCOME_RELEASED
        else:
            request.outcome = worker_pb2.ATTEMPT_OUTCOME_INFRASTRUCTURE_FAILURE
            request.failure.CopyFrom(messages.failure_to(_DIED))
        async with self._link() as link:
            try:
                await _stub(link).FinishAttempt(request)
            except grpc.aio.AioRpcError as error:
                # Its lease will run out, or has been taken over already.
                log.info("the attempt's end was not taken: %s", error.code().name)

    def _link(self) -> grpc.aio.Channel:
        """A connection in the attempt's name."""
        return channel(self._settings.training_address, token=lambda: self.assignment.token)


def _stub(link: grpc.aio.Channel) -> worker_pb2_grpc.WorkerServiceAsyncStub:
    return cast("worker_pb2_grpc.WorkerServiceAsyncStub", worker_pb2_grpc.WorkerServiceStub(link))


def clear_leftovers(directory: Path) -> None:
    """Removes folders of attempts that nobody works in any more."""
    for folder in directory.glob("attempts/*"):
        # Held by a living agent, or just removed by whoever ran it.
        with suppress(BlockingIOError, FileNotFoundError), (folder / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if fnmatch.fnmatchcase(name, _NEEDED) or not any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRET)
    }
