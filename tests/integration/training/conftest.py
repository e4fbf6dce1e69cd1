"""The training service with its worker: real processes, PostgreSQL and sockets; peers that answer from memory."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg
import pytest
import pytest_asyncio
from aift.data.v1 import data_pb2_grpc
from aift.registry.v1 import registry_pb2_grpc
from aift.training.v1 import training_pb2, training_pb2_grpc, worker_pb2_grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from pydantic import SecretStr

from services.core import auth, keys, lifeline, migrate
from services.core.channels import channel
from services.core.objects.directory import DirectoryStore
from services.core.server import GrpcServer
from services.core.settings import Settings
from services.embedded.postgres import Postgres
from services.training_service.app import PACKAGE, TrainingApp
from services.training_service.settings import TrainingSettings
from services.training_service.store.tables import SCHEMA
from tests.conftest import find_free_port, short_dir
from tests.integration.training.peers import Data, Registry, file_url

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a module run in one worker: each module starts a service of its own."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group(f"training-{item.path.stem}"))


ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class Peers:
    """The other services."""

    data: Data
    registry: Registry
    address: str


@dataclass(frozen=True)
class Ground:
    """What a module's tests stand on: folders, keys, and the settings of the service and its worker."""

    state_dir: Path
    environment: dict[str, str]
    signing_key: Ed25519PrivateKey
    worker_token: Path

    def token(self, role: str, *, tenant: str, subject: str = "alice", **attempt: Any) -> str:
        """A token of a person or a process."""
        return auth.mint(self.signing_key, subject=subject, tenant=tenant, role=role, ttl_s=3600, **attempt)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peers]:
    """Data service and registry on one socket."""
    folder = tmp_path_factory.mktemp("peers")
    data, registry = Data(folder / "data"), Registry(folder / "model")
    settings = Settings(
        database_url=SecretStr("postgresql://nobody@localhost/none"),
        state_dir=folder,
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


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Settings of a module's service and worker that win over the usual ones of tests: its `SETTINGS`."""
    return getattr(request.module, "SETTINGS", {})


@pytest.fixture(scope="module")
def ground(peers: Peers, postgres: Postgres, settings: Mapping[str, str]) -> Iterator[Ground]:
    """A database, an empty state directory, keys and tokens."""
    name, state_dir = f"test_{uuid.uuid4().hex[:12]}", short_dir()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield _ground(state_dir, postgres.url(database=name), peers, settings)
    # Another connection: a test may have killed the server.
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    shutil.rmtree(state_dir, ignore_errors=True)


def _ground(state_dir: Path, url: str, peers: Peers, settings: Mapping[str, str]) -> Ground:
    migrate.run(PACKAGE, url=url, schema=SCHEMA)
    auth_dir = state_dir / "auth"
    key = keys.generate(state_dir / "signing.pem", auth_dir)
    keys.generate(state_dir / "keys" / "attempt.pem", auth_dir)
    shutil.copytree(auth_dir, peers.registry.folder.parent / "auth", dirs_exist_ok=True)
    environment = {
        "AIFT_STATE_DIR": str(state_dir),
        "AIFT_DATABASE_URL": url,
        "AIFT_LISTEN": f"127.0.0.1:{find_free_port()}",
        "AIFT_DATA_ADDRESS": peers.address,
        "AIFT_REGISTRY_ADDRESS": peers.address,
        "AIFT_SERVICE_TOKEN_FILE": str(state_dir / "service.token"),
        "AIFT_LEASE_SECONDS": "30",
        "AIFT_DRAIN_SECONDS": "0.5",
        "AIFT_RETRY_DELAY_SECONDS": "0.05",
        "AIFT_WATCH_KEEPALIVE_SECONDS": "1",
        "AIFT_STOP_SECONDS": "5",
        "AIFT_STALL_SECONDS": "2",
        "AIFT_WORKER_NAME": "bench",
        "AIFT_REPORT_SECONDS": "0.5",
        "AIFT_TRAINER_MODULE": "fake_trainer",
        **settings,
    }
    made = Ground(state_dir, environment, key, state_dir / "worker.token")
    (state_dir / "service.token").write_text(made.token("service", tenant="system", subject="training"))
    made.worker_token.write_text(made.token("worker", tenant="system", subject="bench"))
    peers.registry.objects = DirectoryStore(state_dir / "objects")
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(ground: Ground) -> AsyncIterator[TrainingApp]:
    """The service in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ground.environment.items():
            patch.setenv(name, value)
        made = TrainingApp(TrainingSettings(listen="127.0.0.1:0"))
    await made.start()
    await made.server.wait_ready()
    yield made
    await made.stop()


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own: tests share a service and never meet."""
    return f"tenant-{uuid.uuid4().hex[:8]}"


class Api:
    """Stubs of one caller."""

    def __init__(self, link: grpc.aio.Channel) -> None:
        self.link = link
        self.training: Any = training_pb2_grpc.TrainingServiceStub(link)
        self.worker: Any = worker_pb2_grpc.WorkerServiceStub(link)


Connect = Callable[..., Api]


@pytest_asyncio.fixture(loop_scope="module")
async def connect(ground: Ground, tenant: str) -> AsyncIterator[Connect]:
    """`connect(address, role, tenant=…)` or `connect(address, token=…)`."""
    links: list[grpc.aio.Channel] = []

    def make(address: str, role: str = "editor", *, token: str | None = None, **of: Any) -> Api:
        said = token or ground.token(role, **{"tenant": tenant, **of})
        link = channel(address, token=lambda: said)
        links.append(link)
        return Api(link)

    yield make
    for link in links:
        await link.close()


def job_request(how: Mapping[str, Any] | None = None, **spec: Any) -> training_pb2.CreateTrainingJobRequest:
    """A request for a job that the fake trainer runs as `how` says."""
    values = {"base_model": "baseModels/tiny", "dataset_version": "datasets/faq", **spec}
    if how is not None:
        values["sample_prompts"] = [json.dumps(how)]
    return training_pb2.CreateTrainingJobRequest(training_job={"spec": values})


def hand_out_real_inputs(peers: Peers, folder: Path) -> None:
    """Gives jobs what the real trainer needs: the shipped model and some of its rows."""
    model = ROOT / "samples" / "models" / "tiny-ja"
    peers.registry.files = [file_url(path, path.name) for path in sorted(model.iterdir()) if path.is_file()]
    rows = folder / "rows.jsonl"
    with (ROOT / "samples" / "data" / "sample_training_data.jsonl").open(encoding="utf-8") as lines:
        rows.write_text("".join(islice(lines, 100)), encoding="utf-8")
    peers.data.files = [file_url(rows, "original/rows.jsonl")]


def real_job_request(*, processes: int = 1, **hyperparameters: object) -> training_pb2.CreateTrainingJobRequest:
    """A request for a short training of the shipped model."""
    values = {"max_steps": 12, "save_steps": 4, "learning_rate": 2e-3, "max_length": 128, **hyperparameters}
    return job_request(hyperparameters=values, processes=processes)


@dataclass
class System:
    """Service and worker as processes of their own, which a test may kill."""

    ground: Ground
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where the service listens."""
        return self.ground.environment["AIFT_LISTEN"]

    def start(self, name: str) -> None:
        """Starts "service" or "worker"; one that runs is left alone."""
        running = self.processes.get(name)
        if running is not None and running.poll() is None:
            return
        env = {**os.environ, **self.ground.environment, "PYTHONPATH": str(HERE)}
        if name == "worker":
            env["AIFT_SERVICE_TOKEN_FILE"] = str(self.ground.worker_token)
            env.setdefault("AIFT_TRAINING_ADDRESS", self.address)
            del env["AIFT_DATABASE_URL"]
        argv = [sys.executable, "-m", PACKAGE, "serve" if name == "service" else name]
        with (self.ground.state_dir / f"{name}.log").open("ab") as log:
            self.processes[name] = lifeline.popen(argv, env=env, stdout=log, stderr=log)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kills one of them."""
        self.processes[name].send_signal(number)
        self.processes[name].wait(30)

    def descendants(self, word: str) -> list[psutil.Process]:
        """Processes of this state directory with a word in their command line: "agent", "fake_trainer"."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if word in words and self._is_mine(process, words):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _is_mine(self, process: psutil.Process, words: list[str]) -> bool:
        mine = str(self.ground.state_dir)
        return any(mine in word for word in words) or process.environ().get("AIFT_STATE_DIR") == mine

    async def nothing_left(self, within_s: float = 60) -> None:
        """Returns once no agent and no rank lives any more."""
        async with asyncio.timeout(within_s):
            while self.descendants("agent") or self.descendants("fake_trainer"):  # noqa: ASYNC110 - others' processes
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes(ground: Ground) -> AsyncIterator[System]:
    """Both running for all tests of a module; nothing is left afterwards."""
    made = System(ground)
    made.start("service")
    made.start("worker")
    yield made
    for process in reversed(made.processes.values()):
        process.terminate()
    for process in made.processes.values():
        await asyncio.to_thread(process.wait, 60)
    await made.nothing_left()


@pytest_asyncio.fixture(loop_scope="module")
async def system(processes: System, peers: Peers) -> AsyncIterator[System]:
    """Both running, peers as they were at first. What a test killed is started again."""
    processes.start("service")
    processes.start("worker")
    peers.registry.reset()
    peers.data.reset()
    yield processes


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


@pytest_asyncio.fixture(loop_scope="module")
async def lone_api(app: TrainingApp, connect: Connect, peers: Peers) -> Api:
    """An editor's stubs of the service in this process, with no other test's job there, and no worker."""
    peers.data.reset()
    peers.registry.reset()
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("DELETE FROM jobs")
        await tx.exec_driver_sql("DELETE FROM workers")
    return connect(f"127.0.0.1:{app.server.port}")


@pytest.fixture
def worker(app: TrainingApp, connect: Connect) -> Api:
    """A worker's stubs."""
    return connect(f"127.0.0.1:{app.server.port}", "worker", tenant="system")
