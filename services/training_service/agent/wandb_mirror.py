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
from typing import Any, BinaryIO

from aift.training.v1 import training_pb2 as pb

from services.core import lifeline
from services.training_service import messages
from services.training_service.agent import wandb_run
from services.training_service.settings import WandbSettings

log = logging.getLogger(__name__)

_MISSING = "WARNING Weights & Biases: not installed on this worker, so nothing goes there: pip install 'aift[wandb]'"
_NOT_REACHED = (
    "WARNING Weights & Biases: not reached; it is tried again while the training goes on, and gets all that was measured "
    "then. If it stays away, the run lies in `wandb` in the worker's state directory for `wandb sync`."
)
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0
_ANSWERS_WITHIN_S = 20
# A last try, and then the writing of what is left for `wandb sync`.
_END_WITHIN_S = 45.0


class WandbMirror:
    """Writes what was measured to a file, from which a child process tells Weights & Biases, where that is wanted. One
    that cannot reach it is followed by another, which begins anew. `tell` puts lines into the job's log."""

    def __init__(self, settings: WandbSettings, folder: Path, spool: Path, tell: Callable[[list[str]], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._spool = spool
        self._tell = tell
        self._file: BinaryIO | None = None
        self._mirroring: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def start(self, job: pb.TrainingJob) -> None:
        """Begins the run of a job, or goes on with it. Returns at once."""
        if not self._settings.wanted:
            return
        if find_spec("wandb") is None:
            self._tell([_MISSING])
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._spool.open("wb", buffering=0)
        except OSError as error:
            self._give_up(error)
            return
        self._write(_run_of(job))
        if self._file is not None:
            self._mirroring = asyncio.create_task(self._mirror())

    def metric(self, message: pb.Metric) -> None:
        """A logged step."""
        self._write({"step": message.step, "epoch": message.epoch, "values": dict(message.values)})

    async def finish(self, *, failed: bool) -> None:
        """Ends the run; returns when all has arrived there, lies ready for later, or is given up after a while."""
        self._write({"exit_code": int(failed)})
        self._over.set()
        if self._mirroring is None:
            return
        done, _ = await asyncio.wait({self._mirroring}, timeout=_END_WITHIN_S)
        if not done:
            log.warning("Weights & Biases did not take everything within %.0f s", _END_WITHIN_S)

    async def end(self) -> None:
        """Leaves no process, whatever it is doing."""
        if self._mirroring is not None:
            self._mirroring.cancel()
            await asyncio.wait({self._mirroring})
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _mirror(self) -> None:
        """Tries until one child has told all, or has said why there is no use in going on."""
        tries = 0
        try:
            while (status := await self._try(tries)) == wandb_run.NOT_REACHED:
                if tries == 0:
                    self._tell([_NOT_REACHED])
                pause_s = min(_FIRST_PAUSE_S * 2 ** min(tries, 10), _LONGEST_PAUSE_S)
                tries += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._over.wait()
        except OSError as error:
            self._give_up(error)
            return
        if status not in (0, wandb_run.SAID_WHY):
            self._tell([f"WARNING Weights & Biases: told nothing more, its process broke off ({status})"])

    async def _try(self, tries: int) -> int:
        """One child from its start to its exit status; after the end of the training, it only leaves what
        `wandb sync` takes there, should the first have failed."""
        process = await self._spawn(offline=tries > 0 and self._over.is_set())
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            with suppress(ValueError):  # a line without end
                async for line in process.stdout:
                    after = f" (after {tries + 1} tries)" if tries else ""
                    self._tell([f"Weights & Biases: {line.decode('utf-8', 'replace').strip()}{after}"])
            return await process.wait()
        finally:
            lifeline.signal_group(process.pid, signal.SIGKILL)
            await process.wait()

    async def _spawn(self, *, offline: bool) -> asyncio.subprocess.Process:
        places = {f"WANDB_{kind}_DIR": str(self._folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        own = {
            "WANDB_DIR": str(self._folder.parent),
            "WANDB_ERROR_REPORTING": "false",  # of the library to its makers
            "WANDB_INIT_TIMEOUT": str(_ANSWERS_WITHIN_S),
            "WANDB_PROJECT": self._settings.project,
        }
        now = {"WANDB_MODE": "offline"} if offline else {}
        with (self._folder / "library.log").open("ab") as output:
            return await lifeline.spawn(
                [sys.executable, "-m", wandb_run.__name__, str(self._spool)],
                env={**places, **own, **os.environ, **now},
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
            )

    def _write(self, message: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Where there is no room, no file or no process for it."""
        self._tell([f"WARNING Weights & Biases: cannot be told: {error.strerror}"])
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._mirroring is not None:
            self._mirroring.cancel()


def _run_of(job: pb.TrainingJob) -> dict[str, Any]:
    id_ = job.name.removeprefix("trainingJobs/")
    made_from = {"base_model": job.spec.base_model, "dataset_version": job.spec.dataset_version}
    hyperparameters = asdict(messages.hyperparameters_from(job.spec.hyperparameters))
    return {"id": id_, "name": job.display_name or id_, "config": {**made_from, **hyperparameters}}
