"""The training service with its worker: real processes, PostgreSQL and sockets; peers that answer from memory."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from aift.data.v1 import data_pb2_grpc
from aift.registry.v1 import registry_pb2_grpc
from aift.training.v1 import training_pb2, training_pb2_grpc, worker_pb2_grpc
from pydantic import SecretStr

from services.core import keys, lifeline, migrate
from services.core.channels import channel
from services.core.server import GrpcServer
from services.core.settings import Settings
from services.training_service.app import PACKAGE, TrainingApp
from services.training_service.settings import TrainingSettings
from services.training_service.store.tables import SCHEMA
from tests.integration.training.peers import Data, Registry

HERE = Path(__file__).parent
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Peers:
    """The other services."""

    data: Data
    registry: Registry
    address: str


@pytest.fixture
async def peers(tmp_path: Path, auth_dir: Path, signing_key: object) -> AsyncIterator[Peers]:
    """Data service and registry on one socket."""
    data, registry = Data(tmp_path / "peer-data"), Registry(tmp_path / "peer-model", tmp_path / "objects")
    settings = Settings(
        database_url=SecretStr("postgresql://nobody@localhost/none"),
        state_dir=tmp_path,
        auth_dir=auth_dir,
        listen="127.0.0.1:0",
        drain_seconds=0.1,
    )
    registrations = [
        (data_pb2_grpc.add_DataServiceServicer_to_server, data),
        (registry_pb2_grpc.add_RegistryServiceServicer_to_server, registry),
    ]
    async with GrpcServer(settings, registrations) as server:
        await server.wait_ready()
        yield Peers(data, registry, f"127.0.0.1:{server.port}")


@pytest.fixture
def environment(
    tmp_path: Path, auth_dir: Path, peers: Peers, database_url: str, make_token: Callable[..., str]
) -> dict[str, str]:
    """Settings of the service and its worker, as the environment carries them."""
    migrate.run(PACKAGE, url=database_url, schema=SCHEMA)
    keys.generate(tmp_path / "attempt.pem", auth_dir)
    tokens = {role: tmp_path / f"{role}.token" for role in ("service", "worker")}
    for role, path in tokens.items():
        path.write_text(make_token(role, tenant="system", subject=f"training-{role}"))
    return {
        "AIFT_STATE_DIR": str(tmp_path),
        "AIFT_OBJECT_DIR": str(tmp_path / "objects"),
        "AIFT_AUTH_DIR": str(auth_dir),
        "AIFT_ATTEMPT_KEY_FILE": str(tmp_path / "attempt.pem"),
        "AIFT_DATABASE_URL": database_url,
        "AIFT_LISTEN": f"127.0.0.1:{free_port()}",
        "AIFT_DATA_ADDRESS": peers.address,
        "AIFT_REGISTRY_ADDRESS": peers.address,
        "AIFT_SERVICE_TOKEN_FILE": str(tokens["service"]),
        "AIFT_LEASE_SECONDS": "20",
        "AIFT_DRAIN_SECONDS": "0.5",
        "AIFT_RETRY_DELAY_SECONDS": "0.05",
        "AIFT_WATCH_KEEPALIVE_SECONDS": "1",
        "AIFT_STOP_SECONDS": "10",
        "AIFT_WORKER_NAME": "bench",
        "AIFT_REPORT_SECONDS": "0.5",
        "AIFT_TRAINER_MODULE": "fake_trainer",
        "AIFT_SECRET_MARK": "nobody-may-see-this",
    }


@pytest.fixture
async def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TrainingApp]:
    """The service in this process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = TrainingApp(TrainingSettings(listen="127.0.0.1:0"))
    await made.start()
    await made.server.wait_ready()
    yield made
    await made.stop()


class Api:
    """Stubs of one caller."""

    def __init__(self, link: grpc.aio.Channel) -> None:
        self.link = link
        self.training: Any = training_pb2_grpc.TrainingServiceStub(link)
        self.worker: Any = worker_pb2_grpc.WorkerServiceStub(link)


@pytest.fixture
async def connect(make_token: Callable[..., str]) -> AsyncIterator[Callable[..., Api]]:
    """`connect(address, role)` or `connect(address, token=…)`."""
    links: list[grpc.aio.Channel] = []

    def make(address: str, role: str = "editor", *, token: str | None = None, tenant: str = "acme") -> Api:
        said = token or make_token(role, tenant=tenant)
        link = channel(address, token=lambda: said)
        links.append(link)
        return Api(link)

    yield make
    for link in links:
        await link.close()


@pytest.fixture
def api(app: TrainingApp, connect: Callable[..., Api]) -> Api:
    """An editor's stubs of the service in this process."""
    return connect(f"127.0.0.1:{app.server.port}")


def job_request(how: Mapping[str, Any] | None = None, **spec: Any) -> training_pb2.CreateTrainingJobRequest:
    """A request for a job that the fake trainer runs as `how` says."""
    values = {"base_model": "baseModels/tiny", "dataset_version": "datasets/faq", **spec}
    if how is not None:
        values["sample_prompts"] = [json.dumps(how)]
    return training_pb2.CreateTrainingJobRequest(training_job={"spec": values})


@dataclass
class System:
    """Service and worker as processes of their own, which a test may kill."""

    environment: dict[str, str]
    worker_token: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the service listens."""
        return self.environment["AIFT_LISTEN"]

    def start(self, name: str, **more: str) -> None:
        """Starts "service" or "worker"."""
        env = {**os.environ, **self.environment, "PYTHONPATH": str(HERE), **more}
        if name == "worker":
            env["AIFT_SERVICE_TOKEN_FILE"] = str(self.worker_token)
            env["AIFT_TRAINING_ADDRESS"] = self.address
            del env["AIFT_DATABASE_URL"]
        verb = "serve" if name == "service" else name
        log = Path(self.environment["AIFT_STATE_DIR"], f"{name}.log").open("ab")  # noqa: SIM115 - the child's
        argv = [sys.executable, "-m", PACKAGE, verb]
        self.processes[name] = lifeline.popen(argv, env=env, stdout=log, stderr=log)
        log.close()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kills one of them."""
        self.processes[name].send_signal(number)
        self.processes[name].wait(30)

    def descendants(self, word: str) -> list[psutil.Process]:
        """Processes of this test's state directory whose command line holds a word."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("AIFT_STATE_DIR") == self.environment["AIFT_STATE_DIR"] or any(
                    self.environment["AIFT_STATE_DIR"] in part for part in process.cmdline()
                )
                if mine and word in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def log(self, name: str) -> str:
        """What a process wrote."""
        return Path(self.environment["AIFT_STATE_DIR"], f"{name}.log").read_text(errors="replace")


@pytest.fixture
async def system(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    """Both running; nothing is left afterwards."""
    made = System(environment, tmp_path / "worker.token")
    made.start("service")
    made.start("worker")
    yield made
    for process in reversed(made.processes.values()):
        if process.poll() is None:
            process.terminate()
    for process in made.processes.values():
        await asyncio.to_thread(process.wait, 30)
    for _ in range(80):
        left = [*made.descendants("agent"), *made.descendants("fake_trainer")]
        if not left:
            break
        await asyncio.sleep(0.1)
    assert not left, f"processes were left behind: {left}"


async def until_ready(api: Api, within_s: float = 120) -> None:
    """Returns once the service answers."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await api.training.ListTrainingJobs(training_pb2.ListTrainingJobsRequest(), timeout=5)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                await asyncio.sleep(0.1)
            else:
                return


async def state_of(api: Api, name: str) -> str:
    """The job's state without its prefix."""
    job = await api.training.GetTrainingJob(training_pb2.GetTrainingJobRequest(name=name))
    return str(training_pb2.TrainingJobState.Name(job.state)).removeprefix("TRAINING_JOB_STATE_")


async def wait_for(api: Api, name: str, *states: str, within_s: float = 120) -> training_pb2.TrainingJob:
    """The job once it is in one of the states. Rides over a service that is away."""
    state = "UNKNOWN"
    async with asyncio.timeout(within_s):
        while True:
            try:
                state = await state_of(api, name)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
            if state in states:
                job: training_pb2.TrainingJob = await api.training.GetTrainingJob(
                    training_pb2.GetTrainingJobRequest(name=name)
                )
                return job
            assert state not in ENDED, f"ended as {state}"
            await asyncio.sleep(0.1)


async def all_events(api: Api, name: str, after: int = 0) -> list[training_pb2.TrainingEvent]:
    """Everything that happened, up to the end."""
    request = training_pb2.WatchTrainingJobRequest(name=name, after_sequence=after)
    return [event async for event in api.training.WatchTrainingJob(request) if event.sequence]


def states(events: list[training_pb2.TrainingEvent]) -> list[str]:
    """The states that a job went through."""
    return [
        training_pb2.TrainingJobState.Name(event.state_changed.state).removeprefix("TRAINING_JOB_STATE_")
        for event in events
        if event.HasField("state_changed")
    ]
