"""A whole service as a process: migrate, serve, wait for what it needs, stay small, drain, end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg
import pytest
from aift.data.v1 import data_pb2, data_pb2_grpc

from services.core import migrate
from services.core.channels import channel
from services.core.settings import BAD_CONFIGURATION

MIGRATION = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("CREATE TABLE datasets (name text PRIMARY KEY, title text NOT NULL)")
    op.execute("INSERT INTO datasets VALUES ('datasets/x', 'X')")
"""
SECOND = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE datasets ADD COLUMN extra text")
"""
BROKEN = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("ALTER TABLE datasets ADD COLUMN extra text")
    op.execute("SELECT no_such_function()")
"""
MAIN = """
import asyncio, logging, sys
from aift.data.v1 import data_pb2, data_pb2_grpc
from services.core import process
from services.core.db import Database
from services.core.errors import NotFound
from services.core.migrate import SchemaCheck
from services.core.objects import open_store
from services.core.server import GrpcServer
from services.core.settings import Settings

class SampleSettings(Settings):
    SERVICE = "sample"

class Servicer(data_pb2_grpc.DataServiceServicer):
    def __init__(self, database):
        self._database = database

    async def GetDataset(self, request, context):
        if request.name == "slow":
            logging.getLogger("sample").info("begun")
            await asyncio.sleep(1.5)
            return data_pb2.Dataset(name="finished")
        if request.name == "modules":
            return data_pb2.Dataset(display_name=" ".join(sys.modules))
        row = await self._database.fetch_one("SELECT name, title FROM datasets WHERE name = %s", (request.name,))
        if row is None:
            raise NotFound(request.name)
        return data_pb2.Dataset(name=row["name"], display_name=row["title"])

async def serve(settings, stop):
    database = Database(settings.database_url.get_secret_value(), settings.SERVICE)
    ready = {
        "database": database.check,
        "schema": SchemaCheck("sample_service", database),
        "objects": open_store(settings).check,
    }
    servicers = [(data_pb2_grpc.add_DataServiceServicer_to_server, Servicer(database))]
    async with GrpcServer(settings, servicers, ready):
        await stop.wait()
    await database.close()

if __name__ == "__main__":
    sys.exit(process.command(package="sample_service", settings=SampleSettings, serve=serve))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service package `sample_service` with one revision."""
    root = tmp_path / "code" / "sample_service"
    versions = root / "migrations" / "versions"
    versions.mkdir(parents=True)
    (root / "__init__.py").touch()
    (root / "__main__.py").write_text(textwrap.dedent(MAIN))
    (versions / "0001_first.py").write_text(MIGRATION)
    monkeypatch.syspath_prepend(str(root.parent))
    return root


Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(package: Path, state_dir: Path, database_url: str, auth_dir: Path) -> Iterator[Run]:
    """`process = run("serve", AIFT_LISTEN=…)`; what still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(verb: str, **changes: str | None) -> "subprocess.Popen[str]":
        settings = {
            "PYTHONPATH": str(package.parent),
            "AIFT_DATABASE_URL": database_url,
            "AIFT_STATE_DIR": str(state_dir),
            "AIFT_AUTH_DIR": str(auth_dir),
            "AIFT_LISTEN": "127.0.0.1:0",
            **changes,
        }
        env = {name: value for name, value in (os.environ | settings).items() if value is not None}
        argv = [sys.executable, "-m", "sample_service", verb]
        made = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(made)
        return made

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[str]", message: str) -> dict[str, Any]:
    """The first log line with that message."""
    assert process.stdout is not None
    for text in process.stdout:
        line: dict[str, Any] = json.loads(text)
        if line["message"] == message:
            return line
    raise AssertionError(f"ended without saying {message!r}: {process.communicate()}")


def stub_of(opened: grpc.aio.Channel) -> Any:
    return data_pb2_grpc.DataServiceStub(opened)


async def test_a_service_from_migration_to_drain(run: Run, make_token: Any) -> None:
    assert run("migrate").wait(60) == 0
    assert run("migrate").wait(60) == 0
    process = run("serve")
    port = read_until(process, "listening")["port"]
    async with channel(f"127.0.0.1:{port}", token=make_token) as opened:
        answered = await stub_of(opened).GetDataset(data_pb2.GetDatasetRequest(name="datasets/x"))
        assert answered.display_name == "X"
        slow = asyncio.ensure_future(stub_of(opened).GetDataset(data_pb2.GetDatasetRequest(name="slow")))
        await asyncio.to_thread(read_until, process, "begun")
        process.send_signal(signal.SIGTERM)
        assert (await slow).name == "finished"
    output, errors = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0, errors
    assert errors == ""
    assert all(json.loads(line)["service"] == "sample" for line in output.splitlines())


async def test_serving_begins_before_the_schema_is_there(run: Run, make_token: Any) -> None:
    process = run("serve")
    port = read_until(process, "listening")["port"]
    read_until(process, "not ready")
    waiting = time.monotonic()
    async with channel(f"127.0.0.1:{port}", token=make_token) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub_of(opened).GetDataset(data_pb2.GetDatasetRequest(name="datasets/x"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await asyncio.to_thread(run("migrate").wait, 60) == 0
        await asyncio.to_thread(read_until, process, "ready")
        assert await stub_of(opened).GetDataset(data_pb2.GetDatasetRequest(name="datasets/x"))
    assert time.monotonic() - waiting < 60


async def test_a_service_stays_small_and_imports_nothing_heavy(run: Run, make_token: Any) -> None:
    assert run("migrate").wait(60) == 0
    process = run("serve")
    port = read_until(process, "listening")["port"]
    await asyncio.to_thread(read_until, process, "ready")
    async with channel(f"127.0.0.1:{port}", token=make_token) as opened:
        stub = stub_of(opened)
        for _ in range(20):
            request = data_pb2.GetDatasetRequest(name="datasets/x")
            await asyncio.gather(*(stub.GetDataset(request) for _ in range(50)))
        modules = await stub.GetDataset(data_pb2.GetDatasetRequest(name="modules"))
    imported = set(modules.display_name.split())
    assert not imported & {"torch", "transformers", "datasets", "pandas", "pyarrow", "alembic", "minio", "numpy"}
    assert psutil.Process(process.pid).memory_info().rss < 150 << 20


def test_a_wrong_configuration_is_told_in_a_line(run: Run) -> None:
    process = run("serve", AIFT_DATABASE_URL=None, AIFT_DRAIN_SECONDS="soon")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == BAD_CONFIGURATION
    assert "AIFT_DATABASE_URL" in errors
    assert "AIFT_DRAIN_SECONDS" in errors
    assert "Traceback" not in errors


def test_a_taken_port_is_told_in_a_line(run: Run) -> None:
    port = read_until(run("serve"), "listening")["port"]
    second = run("serve", AIFT_LISTEN=f"127.0.0.1:{port}")
    output, errors = second.communicate(timeout=60)
    assert second.returncode not in (0, None)
    assert f"127.0.0.1:{port}" in output
    assert "Traceback" not in output + errors


def revision(url: str) -> str | None:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT version_num FROM sample.alembic_version").fetchone()
    return str(row[0]) if row else None


def test_many_migrate_at_once(run: Run, database_url: str) -> None:
    for process in [run("migrate") for _ in range(3)]:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert revision(database_url) == "0001"


def test_a_migration_that_fails_changes_nothing(package: Path, database_url: str) -> None:
    versions = package / "migrations" / "versions"
    migrate.run("sample_service", url=database_url, schema="sample")
    (versions / "0002_broken.py").write_text(BROKEN)
    with pytest.raises(Exception, match="no_such_function"):
        migrate.run("sample_service", url=database_url, schema="sample")
    assert revision(database_url) == "0001"
    (versions / "0002_broken.py").unlink()
    (versions / "0002_second.py").write_text(SECOND)
    assert migrate.run("sample_service", url=database_url, schema="sample") == "0002"
    assert revision(database_url) == "0002"


async def test_older_code_serves_a_newer_schema(run: Run, package: Path, database_url: str, make_token: Any) -> None:
    newer = package / "migrations" / "versions" / "0002_second.py"
    newer.write_text(SECOND)
    migrate.run("sample_service", url=database_url, schema="sample")
    newer.unlink()
    process = run("serve")
    read_until(process, "ready")
    newer.write_text(SECOND.replace("0002", "0003"))
    newer.rename(newer.with_name("0003_third.py"))
    behind = run("serve")
    assert re.search("schema", str(read_until(behind, "not ready")["failing"]))
