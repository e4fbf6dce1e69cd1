"""What a tenant may ask for at once, with two callers at the same time."""

import asyncio

import grpc
import pytest
from aift.training.v1 import training_pb2 as pb

from services.core.relay import reason_of
from services.training_service.app import TrainingApp
from tests.integration.training.conftest import Api, Connect, Ground, Peers, job_request

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"AIFT_QUOTA_JOBS": "4", "AIFT_QUOTA_QUEUED_JOBS": "3", "AIFT_QUOTA_GPUS": "6"}


@pytest.fixture
def api(ground: Ground, app: TrainingApp, connect: Connect, peers: Peers) -> Api:
    """An editor of a tenant of its own."""
    peers.data.reset()
    return connect(f"127.0.0.1:{app.server.port}")


async def create(api: Api, processes: int = 1) -> pb.TrainingJob | grpc.aio.AioRpcError:
    """The job, or why there is none."""
    try:
        return await api.training.CreateTrainingJob(job_request(processes=processes))  # type: ignore[no-any-return]
    except grpc.aio.AioRpcError as error:
        return error


async def test_of_many_at_once_as_many_are_taken_as_may_wait(api: Api) -> None:
    made = await asyncio.gather(*(create(api) for _ in range(8)))
    refused = [one for one in made if isinstance(one, grpc.aio.AioRpcError)]
    assert len(made) - len(refused) == 3
    for error in refused:
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_REACHED")
        english, japanese = (error.details() or "").split(" / ")
        assert "At most 3 jobs that wait" in english
        assert "3 are in use" in english
        assert "cancel one" in english
        assert "上限は 3" in japanese


async def test_ended_jobs_and_other_tenants_count_for_nothing(api: Api, app: TrainingApp, connect: Connect) -> None:
    made = [await create(api) for _ in range(3)]
    stranger = connect(f"127.0.0.1:{app.server.port}", tenant="somebody-else")
    assert isinstance(await create(stranger), pb.TrainingJob)
    assert isinstance(await create(api), grpc.aio.AioRpcError)
    first = made[0]
    assert isinstance(first, pb.TrainingJob)
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=first.name))
    assert isinstance(await create(api), pb.TrainingJob)


async def test_paused_jobs_do_not_wait_but_have_not_ended(api: Api) -> None:
    for _ in range(4):
        job = await create(api)
        assert isinstance(job, pb.TrainingJob)
        await api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=job.name))
    error = await create(api)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert "4 jobs that have not ended" in (error.details() or "")


async def test_gpus_are_counted_together(api: Api) -> None:
    assert isinstance(await create(api, processes=4), pb.TrainingJob)
    error = await create(api, processes=3)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert "6 GPUs at once: 4 are in use, and this job asks for 3" in (error.details() or "")
    assert isinstance(await create(api, processes=2), pb.TrainingJob)


async def test_a_repeated_request_takes_no_second_place_and_asking_takes_none(api: Api) -> None:
    request = job_request(processes=6)
    request.validate_only = True
    for _ in range(2):
        await api.training.CreateTrainingJob(request)
    request.validate_only, request.request_id = False, "once"
    names = {(await api.training.CreateTrainingJob(request)).name for _ in range(2)}
    assert len(names) == 1
    request.validate_only, request.request_id = True, ""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.training.CreateTrainingJob(request)
    assert reason_of(caught.value) == "QUOTA_REACHED"
