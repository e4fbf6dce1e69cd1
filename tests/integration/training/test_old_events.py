"""Events of jobs that ended long ago lie in one object, and are read as before."""

import pytest
from aift.training.v1 import training_pb2 as pb

from services.core.errors import Unavailable
from services.training_service.app import TrainingApp
from tests.integration.training.agents import Agent, claim, metric, progress
from tests.integration.training.conftest import Api, Connect, all_events, job_request

SETTINGS = {"AIFT_EVENTS_DAYS": "7"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(lone_api: Api) -> Api:
    """An editor's stubs."""
    return lone_api


async def ended(app: TrainingApp, api: Api, connect: Connect) -> str:
    """A job that failed a moment ago, in its second attempt; both told of step 2."""
    worker = connect(f"127.0.0.1:{app.server.port}", "worker", tenant="system")
    job = await api.training.CreateTrainingJob(job_request())
    first = await claim(app, connect, worker)
    await first.report(progress(1), metric(2, 1, loss=3.0), metric(3, 2, loss=2.0))
    await first.finish("RELEASED")
    second: Agent = await claim(app, connect, worker)
    await second.report(progress(1), metric(2, 2, loss=1.5), metric(3, 2, eval_loss=1.0))
    await second.finish("INVALID")
    return str(job.name)


async def rows(app: TrainingApp, table: str) -> int:
    async with app.database.transaction() as tx:
        return int((await tx.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one())


async def grow_old(app: TrainingApp) -> None:
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE jobs SET end_time = end_time - interval '8 days'")


async def test_old_events_move_and_are_read_as_before(app: TrainingApp, api: Api, connect: Connect) -> None:
    name = await ended(app, api, connect)
    events, metrics = await all_events(api, name), await api.training.ListMetrics(pb.ListMetricsRequest(name=name))
    assert not await app.archive.move_one()
    await grow_old(app)
    assert await app.archive.move_one()
    assert not await app.archive.move_one()
    assert [await rows(app, table) for table in ("events", "metrics")] == [0, 0]
    assert await all_events(api, name) == events
    assert await all_events(api, name, after=3) == events[3:]
    assert await all_events(api, name, after=events[-1].sequence) == []
    assert await api.training.ListMetrics(pb.ListMetricsRequest(name=name)) == metrics
    assert [dict(metric.values) for metric in metrics.metrics] == [{"loss": 3.0}, {"loss": 1.5, "eval_loss": 1.0}]


async def test_a_move_that_breaks_off_leaves_the_rows(
    app: TrainingApp, api: Api, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await ended(app, api, connect)
    await grow_old(app)
    events = await all_events(api, name)

    async def written_and_killed(key: str, content: bytes) -> None:
        await type(app.store).put(app.store, key, content)
        raise Unavailable("object store")

    with monkeypatch.context() as patch:
        patch.setattr(app.store, "put", written_and_killed)
        with pytest.raises(Unavailable):
            await app.archive.move_one()
    assert await all_events(api, name) == events
    assert await app.archive.move_one()
    assert await all_events(api, name) == events
    async with app.database.transaction() as tx:
        await tx.exec_driver_sql("UPDATE files SET collect_after = now() WHERE collect_after IS NOT NULL")
    await app.caretaker.collect_garbage()
    left = [found.key async for found in app.store.list(f"training/{name.removeprefix('trainingJobs/')}/")]
    assert len(left) == 1, "what the first try wrote is collected"
