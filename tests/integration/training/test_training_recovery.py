"""Whatever is killed while a job runs, the job ends once, with one model version, and no process is left."""

import signal

import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from tests.integration.training.conftest import (
    Api,
    Connect,
    Peers,
    System,
    all_events,
    job_request,
    state_of,
    states,
    until_ready,
    wait_for,
)

# Short, so that a lost lease is noticed soon; long enough for a busy machine's heartbeats.
SETTINGS = {"AIFT_LEASE_SECONDS": "6"}
# Slow until it is hurt; nothing is waited for afterwards.
HOW = {"steps": 40, "step_s": 0.25, "save_every": 5, "resumed_step_s": 0.02}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def api(system: System, connect: Connect) -> Api:
    """An editor's stubs of the running service."""
    made = connect(system.address)
    await until_ready(made)
    return made


async def start(api: Api, how: dict[str, object] = HOW, *, processes: int = 1) -> str:
    """Starts a job and returns once it has saved its first checkpoint."""
    name = str((await api.training.CreateTrainingJob(job_request(how, processes=processes))).name)
    await wait_for(api, name, "RUNNING")
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.HasField("checkpoint"):
            return name
    raise AssertionError("ended without a checkpoint")


async def ends_once(system: System, api: Api, peers: Peers, name: str) -> pb.TrainingJob:
    """The job after it has succeeded, with what must hold however it got there."""
    job = await wait_for(api, name, "SUCCEEDED")
    events = await all_events(api, name)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert states(events).count("SUCCEEDED") == 1
    assert states(events)[-1] == "SUCCEEDED"
    assert {call.model_version.training_job for call in peers.registry.calls} == {name}
    assert len(peers.registry.created) == 1
    metrics = await api.training.ListMetrics(pb.ListMetricsRequest(name=name))
    assert [metric.step for metric in metrics.metrics] == list(range(1, 41))
    await system.nothing_left()
    return job


async def test_kill_of_the_rank(system: System, api: Api, peers: Peers) -> None:
    name = await start(api)
    [rank] = system.descendants("fake_trainer")
    rank.kill()
    job = await ends_once(system, api, peers, name)
    assert job.attempt == 2
    assert job.metrics["resumed_from"] >= 5
    [recovery] = [event.recovery for event in await all_events(api, name) if event.HasField("recovery")]
    assert recovery.cause.reason == "RANK_DIED"
    assert recovery.from_step == job.metrics["resumed_from"]


async def test_kill_of_one_rank_of_two(system: System, api: Api, peers: Peers) -> None:
    how = {**HOW, "die_at": 12, "die_rank": 1}
    name = await start(api, how, processes=2)
    job = await ends_once(system, api, peers, name)
    assert job.attempt == 2
    assert "Rank 1" in next(e.recovery.cause.message.en for e in await all_events(api, name) if e.HasField("recovery"))


async def test_kill_of_everything_at_once(system: System, api: Api, peers: Peers) -> None:
    name = await start(api)
    system.kill("service")
    system.kill("worker")
    system.start("service")
    system.start("worker")
    await ends_once(system, api, peers, name)


async def test_an_agent_that_sleeps_too_long_does_not_come_back(system: System, api: Api, peers: Peers) -> None:
    name = await start(api, {**HOW, "step_s": 0.5, "resumed_step_s": 0.1})
    [agent] = system.descendants("agent")
    agent.send_signal(signal.SIGSTOP)
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.HasField("recovery"):
            break
    agent.send_signal(signal.SIGCONT)
    job = await ends_once(system, api, peers, name)
    assert job.attempt >= 2


async def test_a_worker_that_is_told_to_end_gives_its_job_back(system: System, api: Api, peers: Peers) -> None:
    name = await start(api)
    before = (await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=name))).checkpoints[0].step
    system.kill("worker", signal.SIGTERM)
    assert await state_of(api, name) == "QUEUED"
    after = (await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=name))).checkpoints[0].step
    assert after > before
    system.start("worker")
    job = await ends_once(system, api, peers, name)
    assert job.metrics["resumed_from"] == after
    assert not [event for event in await all_events(api, name) if event.HasField("recovery")]


async def test_a_watcher_of_before_goes_on_after_a_restart(system: System, api: Api, peers: Peers) -> None:
    name = await start(api)
    seen = (await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name))).last_sequence
    system.kill("service")
    system.start("service")
    await until_ready(api)
    events = await all_events(api, name, after=seen)
    assert [event.sequence for event in events] == list(range(seen + 1, seen + len(events) + 1))
    assert states(events)[-1] == "SUCCEEDED"
