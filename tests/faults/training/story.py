"""One job from its creation to its end, held up in each of its phases so that something can be hurt just then."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import grpc
import psycopg
from aift.training.v1 import training_pb2 as pb

from services.core import devices
from tests.faults.training.conftest import Rig
from tests.integration.training.conftest import Api, Ground, all_events, job_request, states, wait_for

STEPS, SAVE_EVERY = 12, 4
PHASES = ("queued", "provisioning", "model load", "training", "checkpoint upload", "finish", "hand over", "publishing")
_BASE_DIGEST = "ab" * 32
_PATIENCE_S = 90
Hurt = Callable[[str], Awaitable[None]]


async def run(rig: Rig, api: Api, hurt: Hurt) -> str:
    """Brings a job through all phases, with a call of `hurt` in each of PHASES; the name of the job, which succeeds.

    Nothing here depends on time: files, locks and lines hold the job where it is.
    """
    gates = Gates(rig.system.ground.state_dir / "gates")
    how = {"steps": STEPS, "save_every": SAVE_EVERY, "train_at": SAVE_EVERY + 2, "gates": str(gates.folder)}
    with _nothing_cached(rig) as fetch:
        with _devices_taken(rig):
            name = str((await api.training.CreateTrainingJob(job_request(how))).name)
            await hurt("queued")
        await until(lambda: bool(rig.of("agent")))
        await wait_for(api, name, "PROVISIONING")
        await hurt("provisioning")
        fcntl.flock(fetch, fcntl.LOCK_UN)
    async with gates.passing("load"):
        await hurt("model load")
    async with gates.passing("train"):
        await _until_checkpoint(api, name, SAVE_EVERY)
        await hurt("training")
        rig.lines.store.hold()
    await _within(rig.lines.store.held())
    await hurt("checkpoint upload")
    rig.lines.store.mend()
    async with gates.passing("finish"):
        await hurt("finish")
        await _until_checkpoint(api, name, STEPS)
        rig.lines.store.hold()
    await _within(rig.lines.store.held())
    await hurt("hand over")
    rig.peers.registry.open.clear()
    rig.lines.store.mend()
    await wait_for(api, name, "PUBLISHING")
    await hurt("publishing")
    rig.peers.registry.open.set()
    await wait_for(api, name, "SUCCEEDED")
    return name


async def ends_once(rig: Rig, api: Api, name: str) -> list[pb.TrainingEvent]:
    """What must hold however a job got to its success; its events."""
    await wait_for(api, name, "SUCCEEDED")
    events = await all_events(api, name)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert states(events).count("SUCCEEDED") == 1
    assert states(events)[-1] == "SUCCEEDED"
    assert {call.model_version.training_job for call in rig.peers.registry.calls} == {name}
    assert len(rig.peers.registry.created) == 1
    for kind in ("metric", "checkpoint", "sample"):
        told = Counter((event.attempt, getattr(event, kind).step) for event in events if event.HasField(kind))
        assert [one for one, count in told.items() if count > 1] == [], f"{kind} told twice"
    metrics = (await api.training.ListMetrics(pb.ListMetricsRequest(name=name))).metrics
    assert [metric.step for metric in metrics] == list(range(1, metrics[-1].step + 1))
    assert [(event.attempt, event.metric.step) for event in events if event.HasField("metric")]
    await rig.system.nothing_left()
    attempts = rig.system.ground.state_dir / "worker" / "attempts"
    await until(lambda: not list(attempts.glob("*")))
    return events


class Gates:
    """Files that the fake trainer waits for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    @asynccontextmanager
    async def passing(self, name: str) -> AsyncIterator[None]:
        """The block runs while the trainer waits; then it goes on, now and in later attempts."""
        # Said again by who waits now; an attempt that is over may have said it before.
        (self.folder / f"{name}.reached").unlink(missing_ok=True)
        await until((self.folder / f"{name}.reached").exists)
        yield
        (self.folder / name).touch()


async def until(holds: Callable[[], bool]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(_PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - other processes' doing
            await asyncio.sleep(0.05)


def files(ground: Ground, where: str = "true") -> list[str]:
    """Keys of the objects that the training service knows."""
    with psycopg.connect(ground.environment["AIFT_DATABASE_URL"]) as connection:
        return [row[0] for row in connection.execute(f"SELECT key FROM training.files WHERE {where}")]


def passing_files(ground: Ground) -> list[str]:
    """Those that are collected some time after their attempt: all but checkpoints."""
    return files(ground, "role <> 'CHECKPOINT'")


async def _within(work: Awaitable[None]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        await work


async def _until_checkpoint(api: Api, name: str, step: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            # The service may be away, killed by the test.
            with suppress(grpc.aio.AioRpcError):
                kept = (await api.training.ListCheckpoints(pb.ListCheckpointsRequest(name=name))).checkpoints
                if kept and kept[0].step >= step:
                    return
            await asyncio.sleep(0.05)


@contextmanager
def _devices_taken(rig: Rig) -> Iterator[None]:
    """The worker finds no free device."""
    with devices.holding(rig.system.ground.state_dir / "locks", [devices.CPU]):
        yield


@contextmanager
def _nothing_cached(rig: Rig) -> Iterator[int]:
    """The base model is not there, and whoever fetches it waits for the lock that is given."""
    models = rig.system.ground.state_dir / "cache" / "models"
    models.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(models / _BASE_DIGEST, ignore_errors=True)
    with (models / f".{_BASE_DIGEST}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
