"""Jobs that run: service, worker, agent and ranks are processes; only the trainer trains nothing."""

import asyncio
import json

import grpc
import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from services.core.relay import reason_of
from tests.integration.training.conftest import (
    Api,
    Connect,
    Peers,
    System,
    all_events,
    job_request,
    states,
    until_ready,
    wait_for,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def api(system: System, connect: Connect) -> Api:
    """An editor's stubs of the running service."""
    made = connect(system.address)
    await until_ready(made)
    return made


async def create(api: Api, how: dict[str, object], **spec: object) -> str:
    """Starts a job."""
    return str((await api.training.CreateTrainingJob(job_request(how, **spec))).name)


async def test_a_job_runs_to_its_model_version(system: System, api: Api, peers: Peers, tenant: str) -> None:
    name = await create(api, {"steps": 12, "save_every": 4, "lines": 2}, model="models/faq", processes=2)
    events = await all_events(api, name)
    assert states(events) == ["QUEUED", "PROVISIONING", "RUNNING", "PUBLISHING", "SUCCEEDED"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.metric.step for event in events if event.HasField("metric")] == list(range(1, 13))
    assert [event.sample.text for event in events if event.HasField("sample")] == ["回答です"]
    logged = [line for event in events for line in event.log.lines]
    assert sum("line" in line and "step" in line for line in logged) == 24
    assert not any(mark in line for line in logged for mark in ("AIFT_", "_TOKEN'"))
    job = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name))
    assert job.model_version == "models/faq/versions/1"
    assert dict(job.metrics) == {"eval_loss": 0.5, "base_eval_loss": 2.0, "resumed_from": 0.0}
    assert job.worker == "bench"
    assert job.create_time.ToSeconds() <= job.start_time.ToSeconds() <= job.end_time.ToSeconds()
    version = peers.registry.calls[0].model_version
    assert peers.registry.tenants == [(tenant, "alice")]
    assert version.base_model_digest == "ab" * 32
    assert version.training_job == name
    assert version.hyperparameters["lora_r"] == 16
    assert version.hyperparameters["seed"] == 42
    assert json.loads(version.template_json)["completion_marker"] == "\n回答: "
    kept = await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=name))
    committed = [event.checkpoint.step for event in events if event.HasField("checkpoint")]
    assert committed[-1] == 12, "one that is overtaken while another is on its way is left out, the last never"
    assert set(committed) <= {4, 8, 12}
    assert [checkpoint.step for checkpoint in kept.checkpoints] == committed[:-3:-1]
    metrics = await api.training.ListMetrics(pb.ListMetricsRequest(name=name, max_points=4))
    assert [metrics.metrics[0].step, metrics.metrics[-1].step] == [1, 12]
    assert len(metrics.metrics) <= 4
    assert await all_events(api, name, after=len(events)) == []
    assert [event.sequence for event in await all_events(api, name, after=5)] == list(range(6, len(events) + 1))


async def test_a_trainer_that_stands_still_is_told_of(system: System, api: Api) -> None:
    name = await create(api, {"steps": 3, "step_s": 0.05, "hang_at": 2, "hang_s": 4, "save_every": 0})
    events = await all_events(api, name)
    stalls = [event.stall for event in events if event.HasField("stall")]
    assert [stall.step for stall in stalls] == [1]
    assert stalls[0].silence.ToTimedelta().total_seconds() >= 2
    assert states(events)[-1] == "SUCCEEDED"


async def test_pause_saves_and_resume_goes_on(system: System, api: Api, peers: Peers) -> None:
    name = await create(api, {"steps": 60, "step_s": 0.2, "resumed_step_s": 0.02, "save_every": 0})
    await wait_for(api, name, "RUNNING")
    await asyncio.sleep(1)
    await api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=name))
    paused = await wait_for(api, name, "PAUSED")
    assert not paused.HasField("end_time")
    kept = await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=name))
    [saved] = [checkpoint.step for checkpoint in kept.checkpoints]
    await api.training.ResumeTrainingJob(pb.ResumeTrainingJobRequest(name=name))
    job = await wait_for(api, name, "SUCCEEDED")
    assert job.metrics["resumed_from"] == saved
    assert job.attempt == 2
    metrics = await api.training.ListMetrics(pb.ListMetricsRequest(name=name))
    assert [metric.step for metric in metrics.metrics] == list(range(1, 61))
    assert len(peers.registry.calls) == 1


async def test_cancel_stops_a_running_job(system: System, api: Api, peers: Peers) -> None:
    name = await create(api, {"steps": 1000, "step_s": 0.1})
    await wait_for(api, name, "RUNNING")
    cancelling = await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    assert cancelling.state == pb.TRAINING_JOB_STATE_CANCELLING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=name))
    assert reason_of(caught.value) == "JOB_IS_STOPPING"
    await wait_for(api, name, "CANCELLED")
    assert not peers.registry.calls
    assert states(await all_events(api, name))[-2:] == ["CANCELLING", "CANCELLED"]


async def test_what_does_not_stop_is_killed(system: System, api: Api) -> None:
    name = await create(api, {"steps": 1000, "step_s": 0.1, "deaf": True})
    await wait_for(api, name, "RUNNING")
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    await wait_for(api, name, "CANCELLED")
    assert not system.descendants("fake_trainer")


@pytest.mark.parametrize("failure", ["configuration", "data"])
async def test_what_can_never_succeed_fails_at_once(system: System, api: Api, failure: str) -> None:
    name = await create(api, {"steps": 10, "fail_at": 3, "failure": failure})
    job = await wait_for(api, name, "FAILED")
    assert (job.attempt, job.failure.reason) == (1, "TOLD_TO_FAIL")
    assert job.failure.message.ja == "指示により失敗"


async def test_retries_end_when_no_checkpoint_comes(system: System, api: Api) -> None:
    name = await create(api, {"steps": 10, "fail_at": 3, "save_every": 0})
    job = await wait_for(api, name, "FAILED")
    assert job.attempt == 4
    assert "4 attempts" in job.failure.message.en
    events = await all_events(api, name)
    assert len([event for event in events if event.HasField("recovery")]) == 3


async def test_lack_of_memory_halves_the_micro_batch(system: System, api: Api) -> None:
    how = {"steps": 10, "fail_at": 3, "failure": "out_of_memory", "enough_memory_at_batch": 1}
    name = await create(api, how)
    events = await all_events(api, name)
    assert states(events)[-1] == "SUCCEEDED"
    taken = [event.recovery.adjustments for event in events if event.HasField("recovery")]
    assert [(a.per_device_train_batch_size, a.gradient_accumulation_steps) for a in taken] == [(2, 2), (1, 4)]
    job = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name))
    assert job.spec.hyperparameters.per_device_train_batch_size == 4
    assert job.adjustments.per_device_train_batch_size == 1
    assert not job.adjustments.HasField("lora_r")


async def test_inputs_that_are_gone_fail_the_job(system: System, api: Api, peers: Peers) -> None:
    peers.data.gone = True
    name = await create(api, {"steps": 10})
    job = await wait_for(api, name, "FAILED")
    assert "datasets/faq/versions/1" in job.failure.message.en


async def test_inputs_that_cannot_be_asked_for_cost_no_try(system: System, api: Api, peers: Peers) -> None:
    peers.data.away = True
    name = await create(api, {"steps": 2})
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name, after_sequence=2)):
        if event.HasField("state_changed"):
            assert event.state_changed.state == pb.TRAINING_JOB_STATE_QUEUED
            break
    peers.data.away = False
    events = await all_events(api, name)
    assert states(events)[-1] == "SUCCEEDED"
    assert not [event for event in events if event.HasField("recovery")]


async def test_a_log_that_overflows_is_counted(system: System, api: Api) -> None:
    name = await create(api, {"steps": 3, "lines": 1000})
    events = await all_events(api, name)
    kept = sum(line.startswith("INFO step") for event in events for line in event.log.lines)
    dropped = sum(event.log.dropped_lines for event in events)
    assert dropped > 0
    assert kept + dropped >= 3000
    assert kept < 3000


async def test_the_registry_is_told_until_it_answers(system: System, api: Api, peers: Peers) -> None:
    peers.registry.away = True
    name = await create(api, {"steps": 2})
    await wait_for(api, name, "PUBLISHING")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    assert reason_of(caught.value) == "JOB_IS_PUBLISHING"
    await asyncio.sleep(1)
    peers.registry.away = False
    job = await wait_for(api, name, "SUCCEEDED")
    assert job.model_version.endswith("/versions/1")


async def test_a_result_that_the_registry_refuses_fails_the_job(system: System, api: Api, peers: Peers) -> None:
    peers.registry.refusal = grpc.StatusCode.FAILED_PRECONDITION
    name = await create(api, {"steps": 2})
    job = await wait_for(api, name, "FAILED")
    assert job.failure.reason == "REGISTRATION_REFUSED"
    assert not job.model_version


async def test_workers_tell_what_they_have(system: System, api: Api) -> None:
    name = await create(api, {"steps": 100, "step_s": 0.1})
    await wait_for(api, name, "RUNNING")
    [worker] = (await api.training.ListWorkers(pb.ListWorkersRequest())).workers
    assert worker.name == "bench"
    assert worker.machine.cpu_count >= 1
    assert worker.machine.memory_total_bytes > worker.machine.memory_used_bytes > 0
    assert worker.machine.disk_free_bytes > 0
    assert list(worker.training_jobs) == [name]
    info = await api.training.GetSystemInfo(pb.GetSystemInfoRequest())
    assert {count.state: count.count for count in info.job_counts} == {pb.TRAINING_JOB_STATE_RUNNING: 1}
    plan = await api.training.PlanTraining(pb.PlanTrainingRequest(spec=job_request().training_job.spec))
    assert [fit.worker for fit in plan.fits] == ["bench"]
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))


async def test_jobs_of_one_worker_go_one_after_the_other_by_priority(system: System, api: Api) -> None:
    first = await create(api, {"steps": 20, "step_s": 0.4})
    await wait_for(api, first, "RUNNING")
    requests = {priority: job_request({"steps": 1}) for priority in (10, 90, 50)}
    names = {}
    for priority, request in requests.items():
        request.training_job.priority = priority
        names[priority] = (await api.training.CreateTrainingJob(request)).name
    ended = {priority: await wait_for(api, name, "SUCCEEDED", within_s=240) for priority, name in names.items()}
    began = sorted(ended, key=lambda priority: ended[priority].start_time.ToNanoseconds())
    assert began == [90, 50, 10]


async def test_watchers_are_told_that_the_stream_lives(system: System, api: Api) -> None:
    name = await create(api, {"steps": 4, "step_s": 0.05, "load_s": 6})
    await wait_for(api, name, "RUNNING")
    job = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name))
    request = pb.WatchTrainingJobRequest(name=name, after_sequence=job.last_sequence)
    events = [event async for event in api.training.WatchTrainingJob(request)]
    assert any(not event.sequence and event.WhichOneof("content") is None for event in events)
    assert states(events)[-1] == "SUCCEEDED"
