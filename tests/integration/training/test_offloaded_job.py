"""A job that keeps optimizer and weights on a disk, under the real worker: its agent is killed, and nothing is left."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from tests import disk_library
from tests.integration.training.conftest import (
    Api,
    Connect,
    Peers,
    System,
    hand_out_real_inputs,
    real_job_request,
    until_ready,
    wait_for,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

_WITHIN_S = 120


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the worker offers."""
    disk_library.needed()
    return tmp_path_factory.mktemp("fast")


@pytest.fixture(scope="module")
def settings(directory: Path) -> Mapping[str, str]:
    return {
        "AIFT_TRAINER_MODULE": "services.training_service.trainer",
        "AIFT_LEASE_SECONDS": "10",
        "AIFT_DISK_OFFLOAD_DIR": str(directory),
    }


@pytest_asyncio.fixture(loop_scope="module")
async def api(system: System, connect: Connect, peers: Peers, tmp_path: Path) -> Api:
    """An editor's stubs; the peers hand out the shipped model and some of its rows."""
    hand_out_real_inputs(peers, tmp_path)
    made = connect(system.address)
    await until_ready(made)
    return made


async def free_bytes(api: Api) -> int:
    """What the only worker offers."""
    workers = (await api.training.ListWorkers(pb.ListWorkersRequest())).workers
    return sum(worker.machine.disk_offload.free_bytes for worker in workers)


async def test_a_killed_agent_leaves_nothing_on_the_disk(system: System, api: Api, directory: Path) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while not await free_bytes(api):  # noqa: ASYNC110 - others' processes
            await asyncio.sleep(0.2)
    nvme = {"offload_optimizer": pb.OFFLOAD_DEVICE_NVME, "offload_param": pb.OFFLOAD_DEVICE_NVME}
    name = (await api.training.CreateTrainingJob(real_job_request(deepspeed_stage=3, **nvme))).name
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.HasField("checkpoint"):
            break
    [first] = directory.iterdir()
    for agent in system.descendants("agent"):
        agent.kill()
    ended = await wait_for(api, name, "SUCCEEDED", within_s=240)
    assert ended.attempt == 2
    assert not first.exists()
    async with asyncio.timeout(_WITHIN_S):
        while list(directory.iterdir()):  # noqa: ASYNC110 - others' processes
            await asyncio.sleep(0.1)
