"""The data service as a process of its own, on real PostgreSQL, a real object store and real sockets."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg
import pytest
from aift.data.v1 import data_pb2 as pb
from aift.data.v1 import data_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from psycopg import sql

from services.core import auth, keys, lifeline, migrate
from services.core.channels import channel
from services.embedded.postgres import Postgres
from tests.conftest import S3Server, short_dir
from tests.processes import descendants

PACKAGE = "services.data_service"
MIB = 1 << 20
LEASE_SECONDS = 2


class DataService:
    """One process; it can be killed and started again on the same state."""

    def __init__(self, folder: Path, database_url: str, **environment: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.objects = folder / "objects"
        self.port = 0
        self.http_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "service.log"
        self._key = keys.generate(folder / "signing.pem", folder / "auth")
        self._environment = dict(
            os.environ,
            AIFT_STATE_DIR=str(folder),
            AIFT_DATABASE_URL=database_url,
            AIFT_LISTEN="127.0.0.1:0",
            AIFT_HTTP_LISTEN="127.0.0.1:0",
            AIFT_DRAIN_SECONDS="1",
            AIFT_DATA_JOB_LEASE_SECONDS=str(LEASE_SECONDS),
            **environment,
        )
        migrate.run(PACKAGE, url=database_url, schema="data")

    def start(self) -> None:
        """Starts and waits until it listens."""
        with self._log.open("wb") as log:
            argv = [sys.executable, "-m", PACKAGE, "serve"]
            self.process = lifeline.popen(argv, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self._log.read_text().splitlines():
                if '"listening"' in line:
                    said = json.loads(line)
                    self.port, self.http_port = said["port"], said["http_port"]
                    return
            time.sleep(0.05)
        raise AssertionError(self._log.read_text())

    def beside(self) -> DataService:
        """Another process of the service, on the same database and store, which is not started yet."""
        other = copy.copy(self)
        other.process = None
        other._log = self.folder / "beside.log"
        return other

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signals the process and waits for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def children(self, room: str) -> list[psutil.Process]:
        """The processes that do the work of a room of the service now: "validation", "preparation" …"""
        assert self.process is not None
        return descendants(f"services.data_service.{room}", of=self.process.pid)

    def token(self, tenant: str, role: str) -> str:
        """A token of a role in a tenant."""
        return auth.mint(self._key, subject="alice", tenant=tenant, role=role, ttl_s=600)

    def sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Runs a statement in the service's schema."""
        with psycopg.connect(self.database_url, options="-c search_path=data", autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), params)
            return cursor.fetchall() if cursor.description else []


class User:
    """One tenant's user and what tests do again and again. `stub` has the RPCs; `as_` gives another role."""

    def __init__(self, service: DataService, tenant: str, role: str = "editor") -> None:
        self.service = service
        self.tenant = tenant
        self._token = service.token(tenant, role)
        self._channel = channel(f"127.0.0.1:{service.port}", token=lambda: self._token)
        self.stub: data_pb2_grpc.DataServiceAsyncStub = data_pb2_grpc.DataServiceStub(self._channel)  # type: ignore[assignment]

    async def __aenter__(self) -> User:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    def as_(self, role: str) -> User:
        """Another user of the same tenant."""
        return User(self.service, self.tenant, role)

    async def write(self, name: str, data: bytes, offset: int = 0, *, chunk: int = 256 << 10) -> pb.Upload:
        """Sends `data` as the file's bytes from `offset` on, in one stream."""
        return await self.stub.WriteUpload(messages(name, data, offset, chunk=chunk))

    async def upload(self, data: bytes, filename: str = "data.jsonl") -> pb.Upload:
        """A finalised upload."""
        request = pb.CreateUploadRequest(filename=filename, size_bytes=len(data), request_id=str(uuid.uuid4()))
        created = await self.stub.CreateUpload(request)
        if data:
            await self.write(created.name, data)
        return await self.stub.FinalizeUpload(pb.FinalizeUploadRequest(name=created.name, sha256=sha256(data)))

    async def dataset(self, id_: str = "") -> pb.Dataset:
        """A new data set."""
        return await self.stub.CreateDataset(pb.CreateDatasetRequest(dataset_id=id_))

    async def validate(self, data: bytes, dataset: str = "", **options: Any) -> pb.DataJob:
        """A data job that has ended over `data`."""
        upload = await self.upload(data)
        dataset = dataset or (await self.dataset()).name
        request = pb.ValidateDatasetRequest(dataset=dataset, upload=upload.name, **options)
        return await self.ended((await self.stub.ValidateDataset(request)).name)

    async def ended(self, job: str, within_s: float = 120) -> pb.DataJob:
        """Waits for a job's end."""
        async with asyncio.timeout(within_s):
            while True:
                seen = await self.stub.GetDataJob(pb.GetDataJobRequest(name=job))
                if seen.state not in (pb.DATA_JOB_STATE_QUEUED, pb.DATA_JOB_STATE_RUNNING):
                    return seen
                await asyncio.sleep(0.05)

    async def report(self, name: str) -> pb.ValidationReport:
        """The report of a job or version."""
        return await self.stub.GetValidationReport(pb.GetValidationReportRequest(name=name))


async def messages(name: str, data: bytes, offset: int, *, chunk: int) -> AsyncIterator[pb.WriteUploadRequest]:
    """The stream of a WriteUpload."""
    for at in range(0, len(data), chunk):
        yield pb.WriteUploadRequest(name=name, offset_bytes=offset + at, data=data[at : at + chunk])


def sha256(data: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def jsonl(*rows: object) -> bytes:
    """Rows as a file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def qa(count: int, start: int = 0) -> bytes:
    """Rows in the manual's form."""
    return jsonl(*({"text": f"質問: {i} 番の部署は？\n回答: 総務{i}課です。"} for i in range(start, start + count)))


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The stable reason of an error."""
    return info_of(error).reason


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of an error."""
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.fixture(scope="session")
def make_service(postgres: Postgres) -> Iterator[Callable[..., DataService]]:
    """`make_service(**environment)`: a service that is not started yet, on a database and a folder of its own."""
    with ExitStack() as stack:

        def make(**environment: str) -> DataService:
            folder, name = short_dir(), f"data_{uuid.uuid4().hex[:12]}"
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            service = DataService(folder, postgres.url(database=name), **environment)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(_end, service)
            return service

        yield make


def _end(service: DataService) -> None:
    if service.process is not None and service.process.poll() is None:
        service.kill()


@pytest.fixture(scope="session")
def directory_service(make_service: Callable[..., DataService]) -> DataService:
    """One running service for all tests that leave it alone; each of them has a tenant of its own."""
    service = make_service()
    service.start()
    return service


@pytest.fixture(scope="session")
def s3_service(make_service: Callable[..., DataService], s3_server: S3Server) -> DataService:
    """The same on MinIO."""
    service = make_service(**s3_server.environment(f"data-{uuid.uuid4().hex[:12]}"))
    service.start()
    return service


@pytest.fixture(params=["directory", pytest.param("minio", marks=pytest.mark.minio)])
def service(request: pytest.FixtureRequest) -> DataService:
    """The running service on each kind of store in turn."""
    name = "directory_service" if request.param == "directory" else "s3_service"
    found: DataService = request.getfixturevalue(name)
    return found


@pytest.fixture
async def user(directory_service: DataService) -> AsyncIterator[User]:
    """An editor of a tenant of this test's own, on the directory store."""
    async with User(directory_service, uuid.uuid4().hex[:12]) as someone:
        yield someone


@pytest.fixture
async def either_user(service: DataService) -> AsyncIterator[User]:
    """The same on each kind of store in turn."""
    async with User(service, uuid.uuid4().hex[:12]) as someone:
        yield someone
