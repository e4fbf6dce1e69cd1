"""Disks that are full while inputs are fetched, events or checkpoints written, a result exported or handed over.

The job fails with the reason, after so many tries, or goes on once there is room. Whatever was told stays told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from services.core.objects.directory import DirectoryStore
from tests.faults.training import story
from tests.integration.training.conftest import (
    Api,
    Connect,
    Ground,
    Peers,
    System,
    all_events,
    job_request,
    states,
    until_ready,
    wait_for,
)
from tests.small_disk import crowded, filled, small_disk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("training-faults"),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

_MIB = 1 << 20
# What an agent leaves free when it fetches, and a little more.
_CACHE_BYTES = 260 * _MIB
_WORKER_BYTES = 8 * _MIB
_STORE_BYTES = 32 * _MIB


@dataclass(frozen=True)
class Disks:
    """Where the worker keeps attempts, and the object store its objects."""

    worker: Path
    store: Path


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    """Both small enough to fill."""
    folder = tmp_path_factory.mktemp("disks")
    with small_disk(folder / "worker", _WORKER_BYTES) as worker, small_disk(folder / "store", _STORE_BYTES) as store:
        yield Disks(worker, store)


@pytest.fixture(scope="module")
def settings(disks: Disks) -> Mapping[str, str]:
    """Worker and service write to the small disks. Attempts are lost one after the other without much delay."""
    return {
        "AIFT_WORKER_DIR": str(disks.worker),
        "AIFT_OBJECT_DIR": str(disks.store / "objects"),
        "AIFT_CACHE_FREE_BYTES": "0",
        "AIFT_LEFTOVER_SECONDS": "0",
        "AIFT_RETRY_BUDGET": "2",
        "AIFT_RETRY_DELAY_SECONDS": "0.5",
    }


@pytest_asyncio.fixture(loop_scope="module")
async def api(system: System, peers: Peers, disks: Disks, connect: Connect) -> Api:
    """An editor's stubs of the running service."""
    peers.registry.objects = DirectoryStore(disks.store / "objects")
    made = connect(system.address)
    await until_ready(made)
    return made


async def create(api: Api, how: Mapping[str, Any]) -> str:
    return str((await api.training.CreateTrainingJob(job_request(how))).name)


def causes(events: list[pb.TrainingEvent]) -> list[str]:
    """Why attempts were lost."""
    return [event.recovery.cause.reason for event in events if event.HasField("recovery")]


def steps(events: list[pb.TrainingEvent]) -> list[int]:
    """The steps whose metrics were told, once each."""
    return sorted({event.metric.step for event in events if event.HasField("metric")})


async def nothing_left(system: System, disks: Disks) -> None:
    """No process and no file of an attempt."""
    await system.nothing_left()
    await story.until(lambda: not list((disks.worker / "attempts").glob("*")))


async def test_inputs_that_find_no_room(system: System, api: Api, ground: Ground) -> None:
    with small_disk(ground.state_dir / "cache", _CACHE_BYTES) as cache:
        (cache / "something else").write_bytes(bytes(8 * _MIB))
        name = await create(api, {"steps": 2})
        job = await wait_for(api, name, "FAILED")
        assert (job.attempt, job.failure.reason) == (3, "DISK_FULL")
        assert "bytes free" in job.failure.message.en
        assert causes(await all_events(api, name)) == ["DISK_FULL"] * 2
        # The same number of bytes that nobody needs any more is removed instead.
        unused = cache / "models" / ("cd" * 32)
        unused.mkdir(parents=True)
        (cache / "something else").rename(unused / "weights")
        (unused.parent / f".{unused.name}.lock").touch()
        await wait_for(api, await create(api, {"steps": 2}), "SUCCEEDED")
        assert not unused.exists()
        await system.nothing_left()


async def test_a_checkpoint_that_finds_no_room_half_way(system: System, api: Api, disks: Disks) -> None:
    """The third does not fit beside the first two; the next attempt, which begins with the second, has room."""
    name = await create(api, {"steps": 12, "step_s": 0.1, "save_every": 4, "weights": 3.5 * _MIB})
    events = await all_events(api, name)
    assert states(events)[-1] == "SUCCEEDED"
    assert causes(events) == ["DISK_FULL"]
    [lost] = [event.recovery for event in events if event.HasField("recovery")]
    assert lost.from_step == 8
    assert [event.checkpoint.step for event in events if event.HasField("checkpoint")][-1] == 12
    assert steps(events) == list(range(1, 13))
    await nothing_left(system, disks)


async def test_a_result_that_finds_no_room(system: System, api: Api, disks: Disks) -> None:
    name = await create(api, {"steps": 3, "save_every": 0, "result": _WORKER_BYTES})
    events = await all_events(api, name)
    assert states(events)[-1] == "FAILED"
    assert causes(events) == ["DISK_FULL"] * 2
    assert steps(events) == [1, 2, 3]
    job = await api.training.GetTrainingJob(pb.GetTrainingJobRequest(name=name))
    assert job.failure.reason == "DISK_FULL"
    assert "ディスク" in job.failure.message.ja
    await nothing_left(system, disks)


async def test_a_disk_on_which_not_even_an_event_fits(system: System, api: Api, disks: Disks) -> None:
    gates = story.Gates(system.ground.state_dir / "gates")
    name = await create(api, {"steps": 6, "save_every": 0, "train_at": 4, "lines": 100, "gates": str(gates.folder)})
    (gates.folder / "load").touch()
    (gates.folder / "finish").touch()
    watch = api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name))
    async with gates.passing("train"):
        async for event in watch:
            if event.metric.step == 3:
                break
        full = filled(disks.worker)
        full.__enter__()
    try:
        async for event in watch:
            if event.HasField("recovery"):
                break
    finally:
        full.__exit__(None, None, None)
    events = await all_events(api, name)
    assert states(events)[-1] == "SUCCEEDED"
    assert set(causes(events)) == {"DISK_FULL"}
    first = [event.metric.step for event in events if event.HasField("metric") and event.attempt == 1]
    assert first in ([1, 2, 3], [1, 2, 3, 4]), "what a page has left takes an event more, not all lines of a step"
    assert steps(events) == list(range(1, 7))
    await nothing_left(system, disks)


async def test_a_store_that_is_full_takes_no_checkpoint_and_training_goes_on(
    system: System, api: Api, disks: Disks
) -> None:
    await story.until(lambda: not story.passing_files(system.ground))
    with filled(disks.store, but_bytes=_MIB):
        name = await create(api, {"steps": 6, "save_every": 4, "weights": 2.5 * _MIB})
        events = await all_events(api, name)
    assert states(events)[-1] == "SUCCEEDED"
    assert causes(events) == []
    assert [event for event in events if event.HasField("checkpoint")] == []
    logged = [line for event in events for line in event.log.lines if "not saved" in line]
    assert logged == ["WARNING checkpoint 4 was not saved: the object store is full; training goes on"]
    await nothing_left(system, disks)


@pytest.mark.parametrize("full", [filled, crowded])
async def test_a_store_that_is_full_takes_no_result(
    system: System, api: Api, disks: Disks, full: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """Neither where the agent finds no room itself nor where the service answers RESOURCE_EXHAUSTED."""
    # What is collected meanwhile would make room.
    await story.until(lambda: not story.passing_files(system.ground))
    with full(disks.store):
        name = await create(api, {"steps": 2, "save_every": 0, "result": _MIB})
        job = await wait_for(api, name, "RUNNING")
        async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=job.name)):
            if event.HasField("recovery"):
                break
    assert event.recovery.cause.reason == "DISK_FULL"
    await wait_for(api, name, "SUCCEEDED")
