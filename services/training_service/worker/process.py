"""python -m services.training_service worker."""

import asyncio
import fcntl
import logging
import sys
from typing import IO

from services.core.errors import PortTaken
from services.core.probes import ProbeServer
from services.core.process import run
from services.core.readiness import Readiness
from services.core.settings import load
from services.core.telemetry import configure_logging
from services.training_service.settings import WorkerSettings
from services.training_service.worker.machine import Worker

log = logging.getLogger(__name__)

_CANNOT_START = 69  # EX_UNAVAILABLE of sysexits.h


def main() -> int:
    """Runs the worker until SIGTERM; running attempts save and give their jobs back."""
    settings = load(WorkerSettings)
    configure_logging("worker", settings.log_level)
    settings.worker_path.mkdir(parents=True, exist_ok=True)
    with (settings.worker_path / "worker.lock").open("ab") as lock:
        if not _locked(lock):
            sys.stderr.write(f"another worker runs in {settings.worker_path}; name a folder with AIFT_WORKER_DIR\n")
            return _CANNOT_START
        return run(lambda stop: _work(settings, stop))


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _work(settings: WorkerSettings, stop: asyncio.Event) -> None:
    worker = Worker(settings)
    readiness = Readiness({"training": worker.check}, _nobody_asks)
    probes = ProbeServer(readiness)
    host, _, port = settings.http_listen.rpartition(":")
    try:
        await probes.start(host.strip("[]"), int(port))
    except OSError as error:
        raise PortTaken(f"cannot listen on {settings.http_listen}: is it taken?") from error
    watching = asyncio.create_task(readiness.watch())
    try:
        await worker.run(stop)
    finally:
        watching.cancel()
        await probes.stop()


async def _nobody_asks(ready: bool) -> None:
    """A worker has no gRPC health to publish."""
    del ready
