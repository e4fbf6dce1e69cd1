"""What differs between two versions, told by a child process of the running service."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import grpc
import psutil
import pytest
from aift.data.v1 import data_pb2 as pb

from tests.integration.data.conftest import User, jsonl, reason_of

ROWS = [{"instruction": f"{i} 番は？", "response": f"答え{i}"} for i in range(300)]


async def version(user: User, rows: list[dict[str, str]], dataset: str) -> str:
    job = await user.validate(jsonl(*rows), dataset)
    assert job.state == pb.DATA_JOB_STATE_SUCCEEDED, job
    return job.dataset_version


async def diff(user: User, name: str, base: str, limit: int = 0) -> pb.DiffDatasetVersionsResponse:
    return await user.stub.DiffDatasetVersions(pb.DiffDatasetVersionsRequest(name=name, base=base, limit=limit))


async def test_rows_added_removed_and_changed(either_user: User) -> None:
    dataset = (await either_user.dataset()).name
    base = await version(either_user, ROWS, dataset)
    changed = {**ROWS[7], "response": "別の答え"}
    added = {"instruction": "新しい質問", "response": "新しい答え"}
    after = await version(either_user, [added, *ROWS[:7], changed, *ROWS[8:200]], dataset)
    found = await diff(either_user, after, base, limit=3)
    assert (found.unchanged_rows, found.added_rows, found.removed_rows, found.changed_rows) == (199, 1, 100, 1)
    assert [json.loads(row.json) for row in found.added] == [added]
    assert [row.index for row in found.removed] == [200, 201, 202]
    assert found.removed[0].line == 201
    before, now = found.changed[0].before, found.changed[0].after
    assert (before.index, before.completion, now.index, now.completion) == (7, "答え7", 8, "別の答え")
    assert before.prompt == now.prompt == "7 番は？"


async def test_a_version_has_no_difference_to_itself(user: User) -> None:
    name = await version(user, [*ROWS, ROWS[0]], (await user.dataset()).name)
    assert await diff(user, name, name) == pb.DiffDatasetVersionsResponse(unchanged_rows=301)


async def test_repeated_rows_count_as_often_as_they_appear(user: User) -> None:
    dataset = (await user.dataset()).name
    once = await version(user, ROWS[:5], dataset)
    twice = await version(user, [*ROWS[:5], ROWS[2]], dataset)
    found = await diff(user, twice, once)
    assert (found.unchanged_rows, found.added_rows, found.removed_rows) == (5, 1, 0)
    assert found.added[0].index == 5


async def test_the_same_rows_in_another_form_are_changed_rows(user: User) -> None:
    base = await version(user, ROWS[:3], (await user.dataset()).name)
    texts = [{"text": f"質問: {row['instruction']}\n回答: {row['response']}"} for row in ROWS[:3]]
    after = await version(user, texts, (await user.dataset()).name)
    assert (await diff(user, after, base)).changed_rows == 3


async def test_wrong_requests(user: User) -> None:
    name = await version(user, ROWS[:3], (await user.dataset()).name)
    for request, reason in (
        (pb.DiffDatasetVersionsRequest(name=name, base="x"), "INVALID_ARGUMENT"),
        (pb.DiffDatasetVersionsRequest(name=name, base=name, limit=101), "INVALID_ARGUMENT"),
        (pb.DiffDatasetVersionsRequest(name=name, base=f"{name}9"), "NOT_FOUND"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await user.stub.DiffDatasetVersions(request)
        assert reason_of(caught.value) == reason


async def test_nothing_is_left_on_disk(user: User) -> None:
    name = await version(user, ROWS[:3], (await user.dataset()).name)
    await diff(user, name, name)
    await tidy(user)


async def test_a_cancelled_comparison_ends_its_process(user: User) -> None:
    name = await version(user, ROWS[:3], (await user.dataset()).name)
    children: list[psutil.Process] = []
    while not children:  # one may be faster than we look
        call = asyncio.ensure_future(diff(user, name, name))
        while not children and not call.done():
            children = user.service.children("differences")
            await asyncio.sleep(0.01)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.suspend()  # half way for as long as we look
    call.cancel()
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 60)
    assert not alive
    await tidy(user)
    assert (await diff(user, name, name)).unchanged_rows == 3


async def tidy(user: User) -> None:
    """Waits until no folder is left."""
    async with asyncio.timeout(60):
        while list((user.service.folder / "data" / "jobs").iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
