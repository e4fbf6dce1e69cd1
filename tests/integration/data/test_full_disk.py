"""A disk that gets full while data come in and are worked at: it is told, room is made again, and reading goes on."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb

from services.data_service.validation.workers import LARGE_BYTES
from tests.conftest import S3Server
from tests.integration.data.conftest import MIB, DataService, User, jsonl, qa, reason_of
from tests.small_disk import filled, small_disk

ROOM = 48 * MIB
LARGE = gzip.compress(jsonl({"text": "a" * 500_000}) * 110)


@pytest.fixture(params=["directory", pytest.param("minio", marks=pytest.mark.minio)])
async def crowded_user(request: pytest.FixtureRequest, make_service: Callable[..., DataService]) -> AsyncIterator[User]:
    """A user of a service whose files have little room; on MinIO only its work folder has."""
    environment = {}
    if request.param == "minio":
        server: S3Server = request.getfixturevalue("s3_server")
        environment = server.environment(f"data-{uuid.uuid4().hex[:12]}")
    service = make_service(**environment)
    with small_disk(service.folder / "data", ROOM):
        if request.param == "directory":
            (service.folder / "data" / "objects").mkdir()
            service.objects.symlink_to(service.folder / "data" / "objects")
        service.start()
        async with User(service, uuid.uuid4().hex[:12]) as user:
            yield user
        service.stop()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.1)


def free(user: User) -> int:
    room = os.statvfs(user.service.folder / "data")
    return room.f_bavail * room.f_frsize


async def test_a_job_that_fills_the_disk_fails_and_leaves_nothing(crowded_user: User) -> None:
    user = crowded_user
    before = (await user.validate(qa(200))).dataset_version
    room = free(user)
    job = await user.validate(LARGE)
    assert (job.state, job.failure.reason) == (pb.DATA_JOB_STATE_FAILED, "DISK_FULL")
    assert "Free some" in job.failure.message.en
    await eventually(lambda: free(user) > room - 2 * len(LARGE) - MIB)
    page = await user.stub.PreviewRows(pb.PreviewRowsRequest(name=before, offset=150, limit=1))
    assert page.rows[0].index == 150
    assert (await user.validate(qa(200, 1000))).state == pb.DATA_JOB_STATE_SUCCEEDED


@pytest.mark.parametrize("crowded_user", ["directory"], indirect=True)
async def test_an_upload_that_fills_the_disk_is_refused_and_rows_can_still_be_read(crowded_user: User) -> None:
    user = crowded_user
    before = (await user.validate(qa(200))).dataset_version
    data = os.urandom(ROOM)
    created = await user.stub.CreateUpload(pb.CreateUploadRequest(filename="large.jsonl", size_bytes=len(data)))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.write(created.name, data)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    page = await user.stub.PreviewRows(pb.PreviewRowsRequest(name=before, limit=1))
    assert len(page.rows) == 1


@pytest.mark.parametrize("crowded_user", ["directory"], indirect=True)
async def test_a_check_by_several_processes_that_fills_the_disk_ends(crowded_user: User) -> None:
    user = crowded_user
    kana = [chr(code) for code in range(0x3041, 0x3097)]
    rows = jsonl(*({"text": "".join(random.Random(seed).choices(kana, k=3000))} for seed in range(2000)))
    assert len(rows) > LARGE_BYTES
    upload = await user.upload(rows)
    request = pb.ValidateDatasetRequest(dataset=(await user.dataset()).name, upload=upload.name)
    with filled(user.service.folder / "data", but_bytes=MIB):
        job = await user.ended((await user.stub.ValidateDataset(request)).name)
    assert (job.state, job.failure.reason) == (pb.DATA_JOB_STATE_FAILED, "DISK_FULL")
    again = await user.stub.ValidateDataset(request)
    assert (await user.ended(again.name)).state == pb.DATA_JOB_STATE_SUCCEEDED
    assert user.service.children("validation") == []
