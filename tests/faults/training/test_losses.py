"""kill -9 and SIGSTOP of every process in every phase of a job; a network that is cut, slow, silent or one-sided.

Whatever happens, the job ends once, with one model version, nothing told twice, and nothing left behind.
"""

import asyncio
import signal

import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from services.embedded.postgres import Postgres
from tests.faults.training import story
from tests.faults.training.conftest import Rig
from tests.integration.training.conftest import Api, Connect, job_request, until_ready, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.minio,
    pytest.mark.xdist_group("training-faults"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def api(rig: Rig, connect: Connect) -> Api:
    """An editor's stubs of the running service."""
    made = connect(rig.system.address)
    await until_ready(made)
    return made


# Which phases hurt the job: where the target has nothing to do with it, there is nothing to see.
KILLS = {
    "service": tuple(phase for phase in story.PHASES if phase != "finish"),
    "database": tuple(phase for phase in story.PHASES if phase != "finish"),
    "store": ("checkpoint upload", "hand over"),
    # Not "finish": its agent is given the time to hand over what is just done.
    "worker": ("queued", "provisioning", "model load", "training", "checkpoint upload", "hand over"),
    "agent": ("provisioning", "model load", "training", "checkpoint upload", "finish", "hand over"),
    "rank": ("model load", "training", "finish"),
}


@pytest.mark.parametrize("target", KILLS)
async def test_whoever_freezes_and_is_killed_in_each_phase(rig: Rig, api: Api, target: str) -> None:
    async def hurt(phase: str) -> None:
        if phase not in KILLS[target]:
            return
        await rig.freeze(target)
        await rig.kill(target)

    name = await story.run(rig, api, hurt)
    events = await story.ends_once(rig, api, name)
    job = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name))
    lost = [event.recovery.cause.reason for event in events if event.HasField("recovery")]
    if target in ("service", "database", "store"):
        assert (job.attempt, lost) == (1, []), "what the trainer does not need costs no attempt"
    if target == "agent":
        assert lost == ["AGENT_DIED"] * len(KILLS[target])
    if target == "rank":
        assert lost == ["RANK_DIED"] * len(KILLS[target])


async def test_a_long_standstill(rig: Rig, api: Api) -> None:
    """A service that stood still for longer than a lease takes no job away; an agent that does is replaced."""

    async def hurt(phase: str) -> None:
        if phase == "model load":
            await rig.freeze("service", seconds=15)
        if phase == "training":
            rig.signal("agent", signal.SIGSTOP)

    name = await story.run(rig, api, hurt)
    events = await story.ends_once(rig, api, name)
    lost = [event for event in events if event.HasField("recovery")]
    assert [event.recovery.from_step for event in lost] == [story.SAVE_EVERY]


async def test_a_frozen_rank_can_be_cancelled(rig: Rig, api: Api) -> None:
    name = (await api.training.CreateTrainingJob(job_request({"steps": 2, "load_s": 600}))).name
    await wait_for(api, name, "RUNNING")
    await story.until(lambda: bool(rig.of("rank")))
    rig.signal("rank", signal.SIGSTOP)
    await api.training.CancelTrainingJob(pb.CancelTrainingJobRequest(name=name))
    await wait_for(api, name, "CANCELLED")
    await rig.system.nothing_left()


async def test_a_line_that_is_slow_cut_one_sided_and_dies_without_a_word(rig: Rig, api: Api) -> None:
    """Answers that are lost make calls arrive twice. Half-open connections are noticed by both ends."""
    line = rig.lines.service

    async def hurt(phase: str) -> None:
        if phase == "checkpoint upload":
            line.lose()
        elif phase in ("provisioning", "model load", "training"):
            line.delay_s = 0.02
            line.deafen()
            await asyncio.sleep(0.7)
            line.cut()
            await asyncio.sleep(0.3)
            line.mend()

    name = await story.run(rig, api, hurt)
    await story.ends_once(rig, api, name)


async def test_zz_no_object_is_unknown(rig: Rig, api: Api, postgres: Postgres) -> None:
    """Last: of all these jobs only checkpoints are kept, and the store holds nothing that the database does not name."""
    await story.until(lambda: not story.passing_files(rig.system.ground))
    stored = {found.key async for found in rig.peers.registry.objects.list("training/")}
    assert stored == set(story.files(rig.system.ground))
