"""Which worker gets which job, and when."""

import asyncio
from typing import Any

import grpc
import pytest
from aift.common.v1 import blob_pb2
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2

from services.training_service.app import TrainingApp
from tests.integration.training.agents import claim, refused
from tests.integration.training.conftest import Api, Connect, job_request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(lone_api: Api) -> Api:
    """An editor's stubs."""
    return lone_api


async def test_a_waiting_claim_is_answered_when_a_job_comes(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    waiting = asyncio.create_task(claim(app, connect, worker))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    job = await api.training.CreateTrainingJob(job_request())
    assert (await waiting).attempt.startswith(job.name)
    none = await worker.worker.ClaimJob(worker_pb2.ClaimJobRequest(worker="bench"))
    assert not none.HasField("assignment")


async def test_two_workers_never_get_the_same_job(app: TrainingApp, api: Api, worker: Api, connect: Connect) -> None:
    names = {(await api.training.CreateTrainingJob(job_request())).name for _ in range(6)}
    agents = await asyncio.gather(*(claim(app, connect, worker) for _ in range(6)))
    assert {agent.attempt.removesuffix("/attempts/1") for agent in agents} == names


async def test_a_worker_hears_of_jobs_that_wait_for_its_gpus(api: Api, worker: Api) -> None:
    async def waits(gpus: int) -> bool:
        machine = pb.MachineStatus(gpus=[pb.Gpu(index=index, model="A") for index in range(gpus)])
        answer = await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="pair", machine=machine))
        return bool(answer.job_waits)

    assert not await waits(2)
    job = await api.training.CreateTrainingJob(job_request(processes=2))
    assert [await waits(gpus) for gpus in (0, 2, 1)] == [False, True, False]
    assert (await refused(api.training.CreateTrainingJob(job_request(processes=2))))[1] == "SPEC_DOES_NOT_FIT"
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job.name))
    assert not await waits(2)


@pytest.mark.parametrize(
    ("library", "values"),
    [
        ("bitsandbytes", {"method": pb.TRAINING_METHOD_QLORA}),
        ("bitsandbytes", {"optim": pb.OPTIMIZER_PAGED_ADAMW_8BIT}),
        ("deepspeed", {"deepspeed_stage": 1}),
    ],
)
async def test_only_who_has_the_library_gets_a_job_that_needs_it(
    app: TrainingApp, api: Api, worker: Api, connect: Connect, library: str, values: dict[str, Any]
) -> None:
    async def report(*libraries: str) -> bool:
        machine = pb.MachineStatus(libraries=libraries, gpus=[pb.Gpu(model="A")])
        answer = await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
        return bool(answer.job_waits)

    needing = await api.training.CreateTrainingJob(job_request(hyperparameters=values))
    [other] = {"bitsandbytes", "deepspeed"} - {library}
    for without in ((), (other,)):
        assert not await report(*without)
        none = await worker.worker.ClaimJob(worker_pb2.ClaimJobRequest(worker="bench", free_gpus=1))
        assert not none.HasField("assignment")
    plain = await api.training.CreateTrainingJob(job_request())
    assert (await claim(app, connect, worker, free_gpus=1)).attempt.startswith(plain.name)
    assert await report(library)
    assert (await claim(app, connect, worker, free_gpus=1)).attempt.startswith(needing.name)


async def test_only_who_has_the_memory_gets_a_job_where_there_are_no_gpus(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    async def report(name: str, memory_bytes: int) -> None:
        machine = pb.MachineStatus(memory_total_bytes=memory_bytes)
        await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker=name, machine=machine))

    plan = await api.training.PlanTraining(pb.PlanTrainingRequest(spec=job_request(processes=2).training_job.spec))
    needed = 2 * plan.memory_bytes
    await report("small", needed - 1)
    assert await refused(api.training.CreateTrainingJob(job_request(processes=2))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SPEC_DOES_NOT_FIT",
    )
    await report("large", needed)
    job = await api.training.CreateTrainingJob(job_request(processes=2))
    for name, gets in (("small", False), ("large", True)):
        answer = await worker.worker.ClaimJob(worker_pb2.ClaimJobRequest(worker=name))
        assert answer.HasField("assignment") == gets
    assert answer.assignment.attempt.startswith(job.name)


async def test_only_who_offers_the_disk_gets_a_job_that_needs_one(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    async def report(disk: pb.DiskOffload | None) -> bool:
        machine = pb.MachineStatus(libraries=["deepspeed"], disk_offload=disk, gpus=[pb.Gpu(model="A")])
        answer = await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
        return bool(answer.job_waits)

    asked = {"deepspeed_stage": 3, "offload_param": pb.OFFLOAD_DEVICE_NVME}
    named = await api.training.CreateTrainingJob(job_request(hyperparameters={**asked, "disk_offload_dir": "/fast"}))
    compiling = pb.DiskOffload(directory="/fast", problem=blob_pb2.LocalizedText(en="being compiled", ja="ビルド中"))
    for disk in (None, compiling, pb.DiskOffload(directory="/other")):
        assert not await report(disk)
        none = await worker.worker.ClaimJob(worker_pb2.ClaimJobRequest(worker="bench", free_gpus=1))
        assert not none.HasField("assignment")
    assert await report(pb.DiskOffload(directory="/fast"))
    first = await claim(app, connect, worker, free_gpus=1)
    assert first.attempt.startswith(named.name)
    await first.finish("INVALID")
    unnamed = await api.training.CreateTrainingJob(job_request(hyperparameters=asked))
    assert (await claim(app, connect, worker, free_gpus=1)).attempt.startswith(unnamed.name)


async def test_a_large_job_is_not_passed_by(app: TrainingApp, api: Api, worker: Api, connect: Connect) -> None:
    too_large = job_request(processes=8)  # before it is known that no worker is large enough
    too_large.training_job.priority = 100
    await api.training.CreateTrainingJob(too_large)
    gpus = [pb.Gpu(index=index, memory_total_bytes=1 << 34) for index in range(4)]
    machine = pb.MachineStatus(cpu_count=1, gpus=gpus)
    await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
    small = await api.training.CreateTrainingJob(job_request(processes=1))
    large = await api.training.CreateTrainingJob(job_request(processes=4))
    last = await api.training.CreateTrainingJob(job_request(processes=1))
    first = await claim(app, connect, worker, free_gpus=4)
    assert first.attempt.startswith(small.name)
    waits = await worker.worker.ClaimJob(worker_pb2.ClaimJobRequest(worker="bench", free_gpus=3))
    assert not waits.HasField("assignment")
    await first.finish("INVALID")
    second = await claim(app, connect, worker, free_gpus=4)
    assert second.attempt.startswith(large.name)
    assert second.assignment.training_job.spec.processes == 4
    await second.finish("INVALID")
    assert (await claim(app, connect, worker, free_gpus=4)).attempt.startswith(last.name)
