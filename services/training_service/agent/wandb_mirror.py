"""A job's metrics in Weights & Biases. Whatever happens there, the training neither waits for it nor ends with it."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aift.training.v1 import training_pb2 as pb

from services.core import lifeline
from services.training_service import messages
from services.training_service.agent import wandb_run
from services.training_service.settings import WandbSettings

log = logging.getLogger(__name__)

_MISSING = "WARNING Weights & Biases: not installed on this worker, so nothing goes there: pip install 'aift[wandb]'"
_WAITING_BYTES = 1 << 20
_END_WITHIN_S = 30.0


class WandbMirror:
    """The child process that tells Weights & Biases, where that is wanted. `tell` puts lines into the job's log."""

    def __init__(self, settings: WandbSettings, folder: Path, tell: Callable[[list[str]], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._killed = False

    async def start(self, job: pb.TrainingJob) -> None:
        """Begins the run of a job, or goes on with it. Returns at once."""
        if not self._settings.wanted:
            return
        if find_spec("wandb") is None:
            self._tell([_MISSING])
            return
        try:
            self._process = await self._spawn()
        except OSError as error:
            self._tell([f"WARNING Weights & Biases: cannot be told: {error.strerror}"])
            return
        self._listening = asyncio.create_task(self._listen(self._process))
        self._write(_run_of(job))

    def metric(self, message: pb.Metric) -> None:
        """A logged step."""
        self._write({"step": message.step, "epoch": message.epoch, "values": dict(message.values)})

    async def finish(self, *, failed: bool) -> None:
        """Ends the run; returns when all has arrived there, or is given up after half a minute."""
        self._write({"exit_code": int(failed)})
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            log.warning("Weights & Biases did not take everything within %.0f s", _END_WITHIN_S)

    async def end(self) -> None:
        """Leaves no process, whatever it is doing."""
        process, self._process = self._process, None
        if process is None:
            return
        self._kill(process)
        await process.wait()
        if self._listening is not None:
            await self._listening

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._folder.mkdir(parents=True, exist_ok=True)
        places = {f"WANDB_{kind}_DIR": str(self._folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        own = {
            "WANDB_DIR": str(self._folder.parent),
            "WANDB_ERROR_REPORTING": "false",  # of the library to its makers
            "WANDB_PROJECT": self._settings.project,
        }
        with (self._folder / "library.log").open("ab") as output:
            return await lifeline.spawn(
                [sys.executable, "-m", wandb_run.__name__],
                env={**places, **own, **os.environ},
                cwd=self._folder,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
            )

    def _write(self, message: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None or self._process.stdin.is_closing():
            return
        if self._process.stdin.transport.get_write_buffer_size() > _WAITING_BYTES:
            self._tell(["WARNING Weights & Biases: does not move; training goes on without it"])
            self._kill(self._process)
            self._process.stdin.close()
            return
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        self._killed = True
        lifeline.signal_group(process.pid, signal.SIGKILL)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Passes on what the child says. One that ends early closes the pipe, and nothing more is written."""
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        with suppress(ValueError):  # a line without end
            async for line in process.stdout:
                self._tell([f"Weights & Biases: {line.decode('utf-8', 'replace').strip()}"])
        status = await process.wait()
        if status not in (0, wandb_run.SAID_WHY) and not self._killed:
            self._tell([f"WARNING Weights & Biases: told nothing more, its process broke off ({status})"])


def _run_of(job: pb.TrainingJob) -> dict[str, Any]:
    id_ = job.name.removeprefix("trainingJobs/")
    made_from = {"base_model": job.spec.base_model, "dataset_version": job.spec.dataset_version}
    hyperparameters = asdict(messages.hyperparameters_from(job.spec.hyperparameters))
    return {"id": id_, "name": job.display_name or id_, "config": {**made_from, **hyperparameters}}
