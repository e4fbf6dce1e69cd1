"""A training service that is hurt on purpose: its own PostgreSQL and MinIO, and proxies on its lines."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from services.core import lifeline
from services.core.objects.s3 import S3Store
from services.embedded.postgres import Postgres
from tests import programs
from tests.conftest import find_free_port, own_postgres, short_dir, wait_live
from tests.faults.training.proxy import Proxy
from tests.integration.training.conftest import (  # noqa: F401 - fixtures that pytest finds here
    Connect,
    Ground,
    Peers,
    System,
    connect,
    ground,
    peers,
    processes,
    system,
    tenant,
)

_BUCKET, _KEY, _SECRET = "aift", "test-access", "test-secret-key"


class Minio:
    """An object store that may be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._program = programs.need("minio")
        self._directory = directory
        self.address = f"127.0.0.1:{find_free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers. One that runs is left alone."""
        if self._process is not None and self._process.poll() is None:
            return
        argv = [sys.executable, "-m", "services.core.lifeline", "--", self._program, "server", str(self._directory)]
        argv += ["--address", self.address, "--console-address", f"127.0.0.1:{find_free_port()}", "--quiet"]
        env = dict(os.environ, MINIO_ROOT_USER=_KEY, MINIO_ROOT_PASSWORD=_SECRET)
        self._process = lifeline.popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_live(f"http://{self.address}/minio/health/ready", self._process)

    @property
    def pid(self) -> int:
        """Of the server itself, below its guard."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children()[0].pid

    def wait(self) -> None:
        """Returns once it is gone."""
        assert self._process is not None
        self._process.wait(30)

    def stop(self) -> None:
        """Ends it."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)


@dataclass(frozen=True)
class Lines:
    """The network between worker and service, and between agents and the object store."""

    service: Proxy
    store: Proxy


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of this module's own, which tests may kill."""
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def minio() -> Iterator[Minio]:
    """An object store of this module's own."""
    directory = short_dir()
    server = Minio(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lines(minio: Minio) -> AsyncIterator[Lines]:
    """Both lines, working."""
    made = Lines(Proxy(f"127.0.0.1:{find_free_port()}"), Proxy(minio.address))
    await made.service.start()
    await made.store.start()
    yield made
    await made.service.stop()
    await made.store.stop()


@pytest.fixture(scope="module")
def settings(lines: Lines, minio: Minio) -> Mapping[str, str]:
    """Worker and agents reach service and store through the lines; losses are noticed soon."""
    return {
        "AIFT_LISTEN": lines.service.target,
        "AIFT_TRAINING_ADDRESS": lines.service.address,
        "AIFT_OBJECT_STORE": "s3",
        "AIFT_S3_ENDPOINT": minio.address,
        "AIFT_S3_PUBLIC_URL": f"http://{lines.store.address}",
        "AIFT_S3_BUCKET": _BUCKET,
        "AIFT_S3_ACCESS_KEY": _KEY,
        "AIFT_S3_SECRET_KEY": _SECRET,
        "AIFT_LEASE_SECONDS": "12",
        "AIFT_AGENT_SILENCE_SECONDS": "10",
        # Longer than a line is held: what a killed agent had sent still arrives.
        "AIFT_LEFTOVER_SECONDS": "10",
        "AIFT_RETRY_BUDGET": "20",
    }


@dataclass(frozen=True)
class Rig:
    """All that can be hurt."""

    system: System
    peers: Peers
    postgres: Postgres
    minio: Minio
    lines: Lines

    def of(self, target: str) -> list[psutil.Process]:
        """The processes of "service", "worker", "agent", "rank", "database" or "store"; none where it has none now."""
        if target in self.system.processes:
            return [psutil.Process(self.system.processes[target].pid)]
        if target in ("agent", "rank"):
            return self.system.descendants("agent" if target == "agent" else "fake_trainer")
        pid = self.postgres.pid if target == "database" else self.minio.pid
        assert pid is not None
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]

    def signal(self, target: str, number: int) -> None:
        """Signals all processes of a target."""
        for process in self.of(target):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    async def freeze(self, target: str, seconds: float = 0.3) -> None:
        """SIGSTOP, and SIGCONT a little later."""
        self.signal(target, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.signal(target, signal.SIGCONT)

    async def kill(self, target: str) -> None:
        """SIGKILL; returns when all that must end with it has ended. What nobody else starts again is started again."""
        below = [*self.of("agent"), *self.of("rank")] if target in ("worker", "agent") else self.of(target)
        self.signal(target, signal.SIGKILL)
        _, alive = await asyncio.to_thread(psutil.wait_procs, below, 60)
        assert alive == []
        if target in self.system.processes:
            await asyncio.to_thread(self.system.processes[target].wait, 30)
            self.system.start(target)
        elif target == "database":
            await asyncio.to_thread(self.postgres.start)
        elif target == "store":
            await asyncio.to_thread(self.minio.wait)
            await asyncio.to_thread(self.minio.start)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(system: System, peers: Peers, postgres: Postgres, minio: Minio, lines: Lines) -> AsyncIterator[Rig]:  # noqa: F811
    """Everything running, whatever the test before did."""
    peers.registry.objects = S3Store(endpoint=minio.address, bucket=_BUCKET, access_key=_KEY, secret_key=_SECRET)
    yield Rig(system, peers, postgres, minio, lines)
    lines.service.mend()
    lines.store.mend()
    lines.service.delay_s = lines.store.delay_s = 0.0
