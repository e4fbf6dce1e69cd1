"""One attempt on two nodes, each with an agent, a state directory and a rank of its own, under the real trainer."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from services.core import lifeline
from services.core.objects.directory import DirectoryStore
from services.training_service.agent.handover import Handover
from services.training_service.app import PACKAGE, TrainingApp
from tests.conftest import find_free_port
from tests.integration.training.conftest import (
    HERE,
    Api,
    Connect,
    Ground,
    Peers,
    all_events,
    hand_out_real_inputs,
    real_job_request,
    state_of,
    wait_for,
)

SETTINGS = {"AIFT_LEASE_SECONDS": "10"}
TRAINER = "services.training_service.trainer"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


class Launcher:
    """Claims jobs and starts their agents, as the launcher of a cluster does. Node 0 leads, node 1 is a member."""

    def __init__(self, worker: Api, address: str, folder: Path) -> None:
        self._worker = worker
        self._address = address
        self._folder = folder
        self._agents: list[subprocess.Popen[bytes]] = []

    async def attempt(self, module: str = TRAINER) -> list["subprocess.Popen[bytes]"]:
        """Starts the next attempt's agents."""
        request = worker_pb2.ClaimJobRequest(worker="cluster", wait=Duration(seconds=30))
        assignment = (await self._worker.worker.ClaimJob(request)).assignment
        assert assignment.attempt
        port = find_free_port()
        started = [self._start(node, port, assignment, module) for node in range(2)]
        self._agents += started
        return started

    def _start(self, node: int, port: int, assignment: worker_pb2.Assignment, module: str) -> "subprocess.Popen[bytes]":
        directory = self._folder / f"node-{node}" / f"attempt-{assignment.fence}"
        directory.mkdir(parents=True)
        env = {
            **os.environ,
            "AIFT_STATE_DIR": str(directory.parent),
            "AIFT_TRAINING_ADDRESS": self._address,
            "AIFT_TRAINER_MODULE": module,
            "AIFT_STOP_SECONDS": "60",
            "AIFT_NODES": "2",
            "AIFT_NODE_RANK": str(node),
            "AIFT_MASTER_PORT": str(port),
            "PYTHONPATH": str(HERE),
        }
        with (directory.parent / "agent.log").open("ab") as log:
            argv = [sys.executable, "-m", PACKAGE, "agent"]
            agent = lifeline.popen(argv, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log)
        given = Handover(assignment=assignment, devices=("cpu",), directory=directory)
        assert agent.stdin is not None
        with agent.stdin as stdin:
            stdin.write(given.encode())
        return agent

    async def nothing_left(self) -> None:
        """Returns once all agents and ranks have ended."""
        async with asyncio.timeout(60):
            while any(agent.poll() is None for agent in self._agents) or self._ranks():  # noqa: ASYNC110 - others' processes
                await asyncio.sleep(0.1)

    def _ranks(self) -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(self._folder) in word for word in process.cmdline()):
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def end(self) -> None:
        """Kills what a failed test left, with all of its ranks."""
        for agent in self._agents:
            agent.kill()
            agent.wait()


@pytest.fixture
def api(app: TrainingApp, connect: Connect, peers: Peers, tmp_path: Path) -> Api:
    """An editor's stubs; the peers hand out what the real trainer needs."""
    peers.registry.reset()
    hand_out_real_inputs(peers, tmp_path)
    return connect(f"127.0.0.1:{app.server.port}")


class SlowStore:
    """An object store whose writes wait for the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        """Writes where the store's own addresses lead."""
        content = await request.read()
        self.asked.set()
        await self.open.wait()
        path = self._folder / request.match_info["key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return web.Response()


@pytest_asyncio.fixture(loop_scope="module")
async def slow_store(app: TrainingApp, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowStore]:
    """In the place of the service's store for what attempts write."""
    made = SlowStore(ground.state_dir / "objects")
    server = web.Application(client_max_size=1 << 30)
    server.router.add_put("/{key:.+}", made.take)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def write_url(_: DirectoryStore, key: str, ttl_s: float) -> str:
        return f"{url}/{key}"

    monkeypatch.setattr(DirectoryStore, "write_url", write_url)
    yield made
    made.open.set()
    await runner.cleanup()


@pytest.fixture
def launcher(app: TrainingApp, connect: Connect, tmp_path: Path) -> Iterator[Launcher]:
    """Nothing of it is left after the test."""
    address = f"127.0.0.1:{app.server.port}"
    made = Launcher(connect(address, "worker", tenant="system"), address, tmp_path / "nodes")
    yield made
    made.end()


async def create(api: Api, **hyperparameters: object) -> str:
    """Starts a job of two processes."""
    return str((await api.training.CreateTrainingJob(real_job_request(processes=2, **hyperparameters))).name)


async def until_saved(api: Api, name: str) -> None:
    """Returns once the first checkpoint is committed."""
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.HasField("checkpoint"):
            return
    raise AssertionError("ended without a checkpoint")


async def recoveries(api: Api, name: str) -> list[pb.Recovery]:
    """Those of an ended job."""
    return [event.recovery for event in await all_events(api, name) if event.HasField("recovery")]


async def test_a_lost_member_costs_time_and_nothing_else(api: Api, launcher: Launcher, peers: Peers) -> None:
    name = await create(api, max_steps=20, save_steps=5)
    _, member = await launcher.attempt()
    await until_saved(api, name)
    member.kill()
    await wait_for(api, name, "QUEUED")
    await launcher.nothing_left()
    leader, member = await launcher.attempt()
    job = await wait_for(api, name, "SUCCEEDED")
    await launcher.nothing_left()
    assert (leader.returncode, member.returncode) == (0, 0)
    assert job.attempt == 2
    [recovery] = await recoveries(api, name)
    assert recovery.from_step >= 5
    metrics = (await api.training.ListMetrics(pb.ListMetricsRequest(name=name))).metrics
    assert [metric.step for metric in metrics] == list(range(21))
    assert {call.model_version.training_job for call in peers.registry.calls} == {name}
    assert len(peers.registry.created) == 1


async def test_a_lost_leader_takes_the_member_along(api: Api, launcher: Launcher) -> None:
    name = await create(api, max_steps=500, save_steps=5)
    leader, member = await launcher.attempt()
    await until_saved(api, name)
    leader.kill()
    await wait_for(api, name, "QUEUED")
    await launcher.nothing_left()
    assert member.returncode == 0
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    [recovery] = await recoveries(api, name)
    assert recovery.cause.reason == "WORKER_LOST"


async def test_a_member_that_is_told_to_end_gives_the_job_back(api: Api, launcher: Launcher) -> None:
    name = await create(api, max_steps=500, save_steps=100)
    agents = await launcher.attempt()
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.metric.step:
            break
    agents[1].send_signal(signal.SIGTERM)
    await wait_for(api, name, "QUEUED")
    await launcher.nothing_left()
    assert [agent.returncode for agent in agents] == [0, 0]
    [saved] = (await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=name))).checkpoints
    assert 0 < saved.step < 100
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    assert not await recoveries(api, name)


async def test_lack_of_memory_on_a_member_loses_no_checkpoint_that_is_on_its_way(
    api: Api, app: TrainingApp, launcher: Launcher, slow_store: SlowStore
) -> None:
    name = await create(api, per_device_train_batch_size=2)
    _, member = await launcher.attempt("short_of_memory")
    async with asyncio.timeout(60):
        await slow_store.asked.wait()
    assert await asyncio.to_thread(member.wait, 60) == 0, "it has told"
    assert await state_of(api, name) == "RUNNING"
    slow_store.open.set()
    job = await wait_for(api, name, "QUEUED")
    await launcher.nothing_left()
    assert job.adjustments.per_device_train_batch_size == 1
    assert job.adjustments.gradient_accumulation_steps == 2 * job.spec.hyperparameters.gradient_accumulation_steps
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    [recovery] = await recoveries(api, name)
    assert recovery.cause.reason == "OUT_OF_MEMORY"
    assert recovery.from_step == 4
    assert any("MemoryError" in line for event in await all_events(api, name) for line in event.log.lines)


async def test_processes_that_nodes_cannot_share_are_refused(api: Api, launcher: Launcher) -> None:
    request = real_job_request(processes=3)
    name = (await api.training.CreateTrainingJob(request)).name
    await launcher.attempt()
    job = await wait_for(api, name, "FAILED")
    assert job.failure.reason == "UNEVEN_NODES"
    assert "multiple of 2" in job.failure.message.en
    await launcher.nothing_left()
