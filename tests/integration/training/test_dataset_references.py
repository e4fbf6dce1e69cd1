"""The data service learns which versions jobs depend on, whenever it is there."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from aift.training.v1 import training_pb2 as pb

from services.training_service.app import TrainingApp
from tests.integration.training.conftest import Api, Connect, Ground, Peers, job_request

pytestmark = pytest.mark.asyncio(loop_scope="module")

VERSION = "datasets/faq/versions/1"


@pytest.fixture
def api(app: TrainingApp, connect: Connect, peers: Peers) -> Api:
    """An editor's stubs of the service in this process."""
    peers.data.reset()
    return connect(f"127.0.0.1:{app.server.port}")


async def until_told(peers: Peers, *, of: set[tuple[str, str]]) -> None:
    async with asyncio.timeout(60):
        while peers.data.references != of:  # noqa: ASYNC110 - another process' state
            await asyncio.sleep(0.05)


async def ended(api: Api, name: str) -> None:
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    await api.training.DeleteTrainingJob(pb.DeleteTrainingJobRequest(name=name))


async def test_a_job_holds_its_version_until_it_is_deleted(api: Api, peers: Peers) -> None:
    request = job_request()
    request.request_id = str(uuid.uuid4())
    name = (await api.training.CreateTrainingJob(request)).name
    assert (await api.training.CreateTrainingJob(request)).name == name
    await until_told(peers, of={(VERSION, name)})
    await ended(api, name)
    await until_told(peers, of=set())


async def test_a_job_is_made_although_the_data_service_takes_no_reference(api: Api, peers: Peers) -> None:
    peers.data.away = True
    name = (await api.training.CreateTrainingJob(job_request())).name
    await asyncio.sleep(0.5)
    assert peers.data.references == set()
    peers.data.away = False
    await until_told(peers, of={(VERSION, name)})
    await ended(api, name)
    await until_told(peers, of=set())


async def test_a_job_that_is_deleted_before_it_was_told_of_leaves_nothing(
    api: Api, peers: Peers, ground: Ground
) -> None:
    peers.data.away = True
    name = (await api.training.CreateTrainingJob(job_request())).name
    await ended(api, name)
    peers.data.away = False
    async with asyncio.timeout(60):
        while letters(ground.environment["AIFT_DATABASE_URL"]):  # noqa: ASYNC110 - another process' state
            await asyncio.sleep(0.05)
    assert peers.data.references == set()


async def test_plans_hold_nothing(api: Api, peers: Peers) -> None:
    request = job_request()
    request.validate_only = True
    await api.training.CreateTrainingJob(request)
    await asyncio.sleep(0.3)
    assert peers.data.references == set()


def letters(url: str) -> int:
    with psycopg.connect(url, options="-c search_path=training") as connection:
        found = connection.execute("SELECT count(*) FROM reference_letters").fetchone()
    assert found is not None
    return int(found[0])
