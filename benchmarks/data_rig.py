"""The data service, a bare server and MinIO as processes of their own, for the time of a measurement."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from services.core import auth, keys, lifeline, migrate
from services.embedded.postgres import Postgres

PACKAGE = "services.data_service"
BUCKET = "benchmark"
ACCESS_KEY, SECRET_KEY = "benchmark", "benchmark-secret"


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running process: its gRPC port, its id, and an editor's token where it wants one."""

    port: int
    pid: int
    token: str = ""


@contextmanager
def state_dir(parent: Path | None) -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter; `parent` chooses the disk."""
    folder = Path(tempfile.mkdtemp(prefix="aift-benchmark-", dir=parent))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """PostgreSQL as the embedded system runs it."""
    server = Postgres(folder / "postgres")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def data_service(folder: Path, database: Postgres, name: str, **environment: str) -> Iterator[Served]:
    """The data service on a database and a folder of its own, both called `name`."""
    home = folder / name
    home.mkdir()
    key = keys.generate(home / "signing.pem", home / "auth")
    with psycopg.connect(database.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = database.url(database=name)
    migrate.run(PACKAGE, url=url, schema="data")
    told = {
        "AIFT_STATE_DIR": str(home),
        "AIFT_DATABASE_URL": url,
        "AIFT_LISTEN": "127.0.0.1:0",
        "AIFT_HTTP_LISTEN": "127.0.0.1:0",
        **environment,
    }
    log = home / "service.log"
    with log.open("wb") as out, _ended(_serve(told, out)) as process:
        port = _port(log, process)
        token = auth.mint(key, subject="benchmark", tenant="benchmark", role="editor", ttl_s=3600)
        yield Served(port=port, pid=process.pid, token=token)


@contextmanager
def bare_server() -> Iterator[Served]:
    """What it is measured against."""
    argv = [sys.executable, str(Path(__file__).with_name("bare_server.py"))]
    with _ended(lifeline.popen(argv, stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        with process.stdout as out:
            yield Served(port=int(out.readline()), pid=process.pid)


def find_minio() -> str | None:
    """The `minio` program, None where there is none."""
    return shutil.which("minio") or shutil.which("minio", path=str(Path.home() / "go" / "bin"))


@contextmanager
def minio(folder: Path, program: str) -> Iterator[str]:
    """A MinIO server; its host:port."""
    endpoint, console = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
    argv = [sys.executable, "-m", "services.core.lifeline", "--", program, "server", str(folder / "minio-drive")]
    argv += ["--address", endpoint, "--console-address", console, "--quiet"]
    environment = dict(os.environ, MINIO_ROOT_USER=ACCESS_KEY, MINIO_ROOT_PASSWORD=SECRET_KEY)
    with (folder / "minio.log").open("wb") as out:
        started = lifeline.popen(argv, env=environment, stdout=out, stderr=out)
    with _ended(started):
        _wait_live(f"http://{endpoint}/minio/health/ready")
        yield endpoint


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _serve(told: dict[str, str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", PACKAGE, "serve"]
    return lifeline.popen(argv, env=dict(os.environ, **told), stdout=out, stderr=out)


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that the service says it listens on, once it is ready."""
    port = 0
    for _ in range(600):
        for line in log.read_text().splitlines():
            said = json.loads(line)
            port = said.get("port", port)
            if said["message"] == "ready":
                return int(port)
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"the data service did not start:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_live(url: str) -> None:
    for _ in range(300):
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=2):  # noqa: S310
            return
        time.sleep(0.1)
    raise SystemExit("MinIO did not start")
