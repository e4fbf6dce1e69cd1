"""What agents say to the service: repeated, out of order, too late, or in another's name."""

from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from aift.common.v1 import blob_pb2
from aift.training.v1 import training_pb2 as pb
from aift.training.v1 import worker_pb2

from services.core.leases import database_time
from services.training_service.app import TrainingApp
from tests.integration.training.agents import claim, metric, progress, refused
from tests.integration.training.conftest import Api, Connect, Ground, Peers, all_events, job_request, state_of, states

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(lone_api: Api) -> Api:
    """An editor's stubs."""
    return lone_api


async def test_an_assignment_says_all_that_an_agent_needs(
    app: TrainingApp, api: Api, worker: Api, connect: Connect, peers: Peers
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    given = agent.assignment
    assert given.attempt == f"{job.name}/attempts/1"
    assert given.fence == 1
    assert given.training_job.spec.processes == 1
    assert [file.path for file in given.inputs.base_model.files] == ["config.json", "model.safetensors"]
    assert [file.path for file in given.inputs.dataset.files] == ["rows.parquet", "original/faq.jsonl"]
    assert not given.inputs.HasField("checkpoint")
    assert "completion" in given.inputs.template_json
    assert await state_of(api, job.name) == "PROVISIONING"
    fresh = await agent.api.worker.RefreshInputs(worker_pb2.RefreshInputsRequest(attempt=agent.attempt))
    assert fresh.inputs == given.inputs


async def test_events_are_taken_once_and_in_order(app: TrainingApp, api: Api, worker: Api, connect: Connect) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    events = [progress(1, "FETCHING"), progress(2, "LOADING_MODEL"), metric(3, 1, loss=2.0, learning_rate=0.1)]
    assert await agent.report(*events[:1]) == 2
    assert await state_of(api, job.name) == "PROVISIONING"
    assert await agent.report(*events) == 4
    assert await agent.report(*events) == 4
    assert await state_of(api, job.name) == "RUNNING"
    assert await agent.report(metric(4, 1, eval_loss=1.0), metric(5, 2, loss=float("nan"))) == 6
    assert await refused(agent.report(progress(9))) == (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE")
    metrics = (await api.training.ListMetrics(pb.ListMetricsRequest(name=job.name))).metrics
    assert [dict(item.values) for item in metrics] == [{"loss": 2.0, "learning_rate": 0.1, "eval_loss": 1.0}, {}]
    code, _ = await refused(agent.report(worker_pb2.AttemptEvent(attempt_sequence=6)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    now = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=job.name))
    assert now.progress.phase == pb.TRAINING_PHASE_LOADING_MODEL


async def test_plans_tell_the_time_that_measured_jobs_took(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    machine = pb.MachineStatus(cpu_count=2, memory_total_bytes=1 << 40)
    await worker.worker.ReportWorker(worker_pb2.ReportWorkerRequest(worker="bench", machine=machine))
    request = job_request()
    asked = pb.PlanTrainingRequest(spec=request.training_job.spec)
    plan = await api.training.PlanTraining(asked)
    assert not plan.HasField("training_time")
    assert "unknown" in plan.training_time_basis.en
    assert "estimated from characters" in plan.tokens_basis.en
    await api.training.CreateTrainingJob(request)
    agent = await claim(app, connect, worker)
    # Slow until it is warm, then 50 tokens in a second and 350 in three by turns.
    steps = [(1.0, 20.0), (2.0, 10.0), *[(50.0, 1.0), (350 / 3, 3.0)] * 5]
    told = [
        metric(step, step, tokens_per_second=rate, step_seconds=seconds)
        for step, (rate, seconds) in enumerate(steps, 1)
    ]
    await agent.report(*told[:-1])
    assert not (await api.training.PlanTraining(asked)).HasField("training_time"), "too few steps"
    await agent.report(told[-1])
    plan = await api.training.PlanTraining(asked)
    assert plan.tokens == pytest.approx(95 * 3 * 40, rel=0.02)
    assert plan.tokens_per_second == pytest.approx(100)
    assert plan.training_time.ToTimedelta().total_seconds() == pytest.approx(plan.tokens / 100, rel=0.01)
    assert "2 CPU cores" in plan.training_time_basis.en
    for other in (
        pb.Hyperparameters(method=pb.TRAINING_METHOD_FULL),
        pb.Hyperparameters(per_device_train_batch_size=1),
    ):
        asked.spec.hyperparameters.CopyFrom(other)
        assert not (await api.training.PlanTraining(asked)).HasField("training_time")


async def test_an_older_attempt_is_refused_everything(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    old = await claim(app, connect, worker)
    file = await old.write("state.json", b"old")
    await old.report(progress(1), metric(2, 7, loss=1.0))
    await old.commit(5, file, eval_loss=1.0)
    await old.finish("INFRASTRUCTURE_FAILURE")
    new = await claim(app, connect, worker)
    assert new.assignment.fence == 2
    assert new.assignment.inputs.checkpoint_step == 5
    stale = (grpc.StatusCode.ABORTED, "STALE_FENCE")
    assert await refused(old.heartbeat()) == stale
    assert await refused(old.report(progress(3))) == stale
    assert await refused(old.write("x", b"x")) == stale
    assert await refused(old.commit(6, file)) == stale
    assert await refused(old.finish("SUCCEEDED", file)) == stale
    # The same end told again is no error: its first answer may have been lost.
    await old.finish("INFRASTRUCTURE_FAILURE")
    await new.report(metric(1, 7, loss=0.5))
    metrics = (await api.training.ListMetrics(pb.ListMetricsRequest(name=job.name))).metrics
    assert [dict(item.values) for item in metrics] == [{"loss": 0.5}]


async def test_a_token_is_good_for_its_own_attempt_only(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    for _ in range(2):
        await api.training.CreateTrainingJob(job_request())
    one, two = await claim(app, connect, worker), await claim(app, connect, worker)
    two.attempt = one.attempt
    assert await refused(two.heartbeat()) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_ATTEMPT")
    beat = worker.worker.Heartbeat(worker_pb2.HeartbeatRequest(attempt=one.attempt))
    assert await refused(beat) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_ATTEMPT")
    code, _ = await refused(one.api.training.ListTrainingJobs(pb.ListTrainingJobsRequest()))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_token_is_renewed_after_half_its_time(
    app: TrainingApp, api: Api, worker: Api, connect: Connect, ground: Ground, tenant: str
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    beat = worker_pb2.HeartbeatRequest(attempt=agent.attempt)
    assert not (await agent.api.worker.Heartbeat(beat)).token
    # Tokens of an hour, where the service's own last a day, are past their half.
    aged = ground.token("worker", tenant=tenant, subject=agent.attempt, job=job.name, attempt=1, fence=1)
    old = connect(f"127.0.0.1:{app.server.port}", token=aged)
    fresh = (await old.worker.Heartbeat(beat)).token
    assert fresh
    renewed = connect(f"127.0.0.1:{app.server.port}", token=fresh)
    await renewed.worker.Heartbeat(beat)


async def test_checkpoints_are_whole_kept_and_collected(
    app: TrainingApp, api: Api, worker: Api, connect: Connect, ground: Ground
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    missing = worker_pb2.WrittenFile(path="a", size_bytes=1, sha256="0" * 64, key="training/none/none")
    assert await refused(agent.commit(1, missing)) == (grpc.StatusCode.FAILED_PRECONDITION, "FILE_MISSING")
    file = await agent.write("a", b"content")
    other = worker_pb2.WrittenFile(path="b", size_bytes=7, sha256=file.sha256, key=file.key)
    code, _ = await refused(agent.commit(1, other))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5), (5, 2.6)):
        saved = await agent.commit(step, await agent.write("a", b"step %d" % step), eval_loss=loss)
        assert saved.name == f"{job.name}/checkpoints/{step}"
    assert (await agent.commit(5, await agent.write("a", b"again"))).size_bytes == 5
    kept = (await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=job.name))).checkpoints
    assert [checkpoint.step for checkpoint in kept] == [5, 4, 2]
    before = _objects(ground, job.name)
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE files SET collect_after = now() WHERE collect_after IS NOT NULL")
    await app.caretaker.collect_garbage()
    # Gone are steps 1 and 3 and the first version of 5; the file that was never committed stays while its attempt lives.
    assert len(before) - len(_objects(ground, job.name)) == 3


async def test_a_checkpoint_told_twice_is_one_event(app: TrainingApp, api: Api, worker: Api, connect: Connect) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    first = await agent.write("a", b"step 1")
    await agent.commit(1, first)
    assert (await agent.commit(1, first)).name == f"{job.name}/checkpoints/1"
    for step in (2, 3, 4):
        await agent.commit(step, await agent.write("a", b"step %d" % step))
    # A call that was long on its way brings back nothing that was let go meanwhile.
    assert (await agent.commit(1, first)).step == 1
    kept = (await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=job.name))).checkpoints
    assert [checkpoint.step for checkpoint in kept] == [4, 3]
    await agent.finish("INVALID")
    told = [event.checkpoint.step for event in await all_events(api, job.name) if event.HasField("checkpoint")]
    assert told == [1, 2, 3, 4]


async def test_what_an_attempt_left_is_collected_after_it(
    app: TrainingApp, api: Api, worker: Api, connect: Connect, ground: Ground
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    await agent.write("a", b"never committed")
    await agent.finish("INFRASTRUCTURE_FAILURE")
    await app.caretaker.collect_garbage()
    assert len(_objects(ground, job.name)) == 1
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE files SET collect_after = now() WHERE collect_after IS NOT NULL")
    await app.caretaker.collect_garbage()
    assert _objects(ground, job.name) == []


async def test_a_result_told_twice_makes_one_version(
    app: TrainingApp, api: Api, worker: Api, connect: Connect, peers: Peers
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    file = await agent.write("adapter_model.safetensors", b"weights")
    assert (await refused(agent.finish("SUCCEEDED")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    await agent.finish("SUCCEEDED", file)
    await agent.finish("SUCCEEDED", file)
    events = await all_events(api, job.name)
    assert states(events) == ["QUEUED", "PROVISIONING", "PUBLISHING", "SUCCEEDED"]
    assert len(peers.registry.created) == 1


async def test_heartbeats_bring_commands(app: TrainingApp, api: Api, worker: Api, connect: Connect) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    assert await agent.heartbeat() == worker_pb2.AGENT_COMMAND_UNSPECIFIED
    await api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=job.name))
    assert await agent.heartbeat() == worker_pb2.AGENT_COMMAND_PAUSE
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job.name))
    assert await agent.heartbeat() == worker_pb2.AGENT_COMMAND_CANCEL
    await agent.finish("CANCELLED")
    assert await state_of(api, job.name) == "CANCELLED"


async def test_a_lapsed_lease_is_renewed_unless_it_was_taken(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE jobs SET lease_expires_at = now() - interval '1 hour'")
    await agent.heartbeat()
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE jobs SET lease_expires_at = now() - interval '1 hour'")
    # Not before one lease time after the service itself came: agents may still renew.
    assert not await app.caretaker.end_lost_attempts()
    assert await state_of(api, job.name) == "PROVISIONING"


async def test_a_member_looks_at_its_attempt_without_keeping_it(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE jobs SET lease_expires_at = now() + interval '1 hour'")
    look = worker_pb2.HeartbeatRequest(attempt=agent.attempt, member=True)
    await agent.api.worker.Heartbeat(look)
    async with app.database.transaction() as tx:
        # A heartbeat that keeps the lease would set it to one lease time from now.
        untouched = await tx.exec_driver_sql("SELECT lease_expires_at > now() + interval '30 minutes' FROM jobs")
        assert untouched.scalar_one() is True
    await agent.finish("CANCELLED")
    assert await refused(agent.api.worker.Heartbeat(look)) == (grpc.StatusCode.ABORTED, "STALE_FENCE")


async def test_the_first_node_ends_an_attempt_for_the_cause_that_a_member_told(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    job = await api.training.CreateTrainingJob(job_request(hyperparameters={"per_device_train_batch_size": 4}))
    agent = await claim(app, connect, worker)
    assert (await refused(agent.finish("SUCCEEDED", member=True)))[0] is grpc.StatusCode.INVALID_ARGUMENT
    cause = blob_pb2.Failure(reason="OUT_OF_MEMORY", message={"en": "too much", "ja": "過多"})
    for reason in (cause, blob_pb2.Failure(reason="RANK_DIED")):
        last = pb.LogLines(lines=[f"rank-1: {reason.reason}"])
        await agent.finish("OUT_OF_MEMORY", member=True, failure=reason, log=last)
    assert await agent.heartbeat() == worker_pb2.AGENT_COMMAND_END
    await agent.commit(5, await agent.write("state.json", b"under way"))
    for _ in range(2):  # as if the first answer had been lost
        await agent.finish("INFRASTRUCTURE_FAILURE", failure=blob_pb2.Failure(reason="CONNECTION_LOST"))
    again = await claim(app, connect, worker)
    assert again.assignment.inputs.checkpoint_step == 5
    assert await again.heartbeat() == worker_pb2.AGENT_COMMAND_UNSPECIFIED
    await again.finish("CANCELLED")
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=job.name))
    events = await all_events(api, job.name)
    assert [line for event in events for line in event.log.lines] == ["rank-1: OUT_OF_MEMORY"]
    [recovery] = [event.recovery for event in events if event.HasField("recovery")]
    assert recovery.cause == cause
    assert recovery.from_step == 5
    assert recovery.adjustments.per_device_train_batch_size == 2


async def test_what_a_member_told_holds_where_the_first_node_is_lost(
    app: TrainingApp, api: Api, worker: Api, connect: Connect
) -> None:
    job = await api.training.CreateTrainingJob(job_request())
    agent = await claim(app, connect, worker)
    await agent.finish("INVALID", member=True, failure=blob_pb2.Failure(reason="BAD_ROW"))
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE jobs SET lease_expires_at = now() - interval '1 hour'")
        now = await database_time(tx)
    assert await app.attempts.sweep(serving_since=now - timedelta(days=1), asked=now) == 1
    failed = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=job.name))
    assert failed.failure.reason == "BAD_ROW"


def _objects(ground: Ground, name: str) -> list[Path]:
    """What lies in the object store for a job."""
    folder = ground.state_dir / "objects" / "training" / name.removeprefix("trainingJobs/")
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
