"""Fixtures that every room uses. PostgreSQL, MinIO and sockets are real; ports are free ones, folders short-lived."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql

from services.core import auth, keys, lifeline
from services.core.db import Database
from services.core.objects import ObjectStore
from services.core.objects.directory import DirectoryStore
from services.core.objects.s3 import S3Store
from services.embedded.postgres import Postgres
from tests import programs


def pytest_sessionstart() -> None:
    """Nothing runs where a required program is missing."""
    programs.check_required()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short folder that other users may enter: what PostgreSQL under root and socket paths need."""
    path = short_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def short_dir() -> Path:
    """A new folder directly below the temporary one."""
    path = Path(tempfile.mkdtemp(prefix="aift-"))
    path.chmod(0o711)
    return path


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago. Prefer port 0 where the program can take it."""
    return find_free_port()


def find_free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- PostgreSQL -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server of this test process. Tests that kill a server start one of their own."""
    with own_postgres() as server:
        yield server


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A running server, ended and forgotten at the end."""
    directory = short_dir()
    server = Postgres(directory / "pg", durable=False)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """The superuser's URL of the database `aift`."""
    return postgres.url()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """The superuser's URL of an empty database of this test's own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres.url(database=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A `Database` whose schema `test` exists and is empty."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA test")
    opened = Database(database_url, "test")
    yield opened
    await opened.close()


# --- Object stores ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3Server:
    """Where a test S3 server is, and its keys."""

    endpoint: str
    access_key: str
    secret_key: str

    def environment(self, bucket: str) -> dict[str, str]:
        """What has a service keep its objects in a bucket there."""
        return {
            "AIFT_OBJECT_STORE": "s3",
            "AIFT_S3_ENDPOINT": self.endpoint,
            "AIFT_S3_ACCESS_KEY": self.access_key,
            "AIFT_S3_SECRET_KEY": self.secret_key,
            "AIFT_S3_BUCKET": bucket,
        }


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 server: the one of AIFT_TEST_S3_ENDPOINT (with …_ACCESS_KEY and …_SECRET_KEY), or our own MinIO."""
    endpoint = os.environ.get("AIFT_TEST_S3_ENDPOINT")
    if endpoint:
        yield S3Server(
            endpoint,
            os.environ.get("AIFT_TEST_S3_ACCESS_KEY", "minioadmin"),
            os.environ.get("AIFT_TEST_S3_SECRET_KEY", "minioadmin"),
        )
        return
    yield from _own_minio(programs.need("minio"))


def _own_minio(program: str) -> Iterator[S3Server]:
    server = S3Server(f"127.0.0.1:{find_free_port()}", "test-access", "test-secret-key")
    directory = short_dir()
    argv = [sys.executable, "-m", "services.core.lifeline", "--", program, "server", str(directory)]
    argv += ["--address", server.endpoint, "--console-address", f"127.0.0.1:{find_free_port()}", "--quiet"]
    env = dict(os.environ, MINIO_ROOT_USER=server.access_key, MINIO_ROOT_PASSWORD=server.secret_key)
    with (directory / "minio.log").open("wb") as log:
        process = lifeline.popen(argv, env=env, stdout=log, stderr=log)
    wait_live(f"http://{server.endpoint}/minio/health/ready", process)
    yield server
    process.terminate()
    process.wait(20)
    shutil.rmtree(directory, ignore_errors=True)


def wait_live(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Returns once an HTTP address answers. Raises RuntimeError where its server does not start."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"MinIO did not start (exit status {process.poll()})")


@pytest.fixture
def s3_store(s3_server: S3Server) -> S3Store:
    """A store in a bucket of this test's own; `check` makes the bucket."""
    return S3Store(
        endpoint=s3_server.endpoint,
        bucket=f"test-{uuid.uuid4().hex[:12]}",
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
    )


@pytest.fixture(params=["directory", pytest.param("minio", marks=pytest.mark.minio)])
async def object_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Each kind of store in turn, empty and ready."""
    store: ObjectStore
    if request.param == "directory":
        store = DirectoryStore(tmp_path / "objects")
    else:
        store = request.getfixturevalue("s3_store")
    await store.check()
    return store


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says loudly what went untested for want of a program."""
    programs.summarise(terminalreporter)


# --- Tokens -----------------------------------------------------------------------------------------------------


@pytest.fixture
def auth_dir(tmp_path: Path) -> Path:
    """Folder of public keys, as AIFT_AUTH_DIR names it."""
    return tmp_path / "auth"


@pytest.fixture
def signing_key(tmp_path: Path, auth_dir: Path) -> Ed25519PrivateKey:
    """A private key whose public part lies in `auth_dir`."""
    return keys.generate(tmp_path / "signing.pem", auth_dir)


@pytest.fixture
def make_token(signing_key: Ed25519PrivateKey) -> Callable[..., str]:
    """`make_token(role="editor", tenant="acme", subject="alice", ttl_s=600, **attempt_claims)`."""

    def make(
        role: str = "editor",
        *,
        tenant: str = "acme",
        subject: str = "alice",
        ttl_s: float = 600,
        job: str | None = None,
        attempt: int | None = None,
        fence: int | None = None,
    ) -> str:
        return auth.mint(
            signing_key, subject=subject, tenant=tenant, role=role, ttl_s=ttl_s, job=job, attempt=attempt, fence=fence
        )

    return make
