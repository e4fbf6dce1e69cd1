"""What is collected, and what is left alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb

from tests.integration.data.conftest import MIB, DataService, User, qa, reason_of


@pytest.fixture(scope="module")
def sweeping(make_service: Callable[..., DataService]) -> DataService:
    """A service that sweeps all the time."""
    service = make_service(AIFT_SWEEP_SECONDS="0.2")
    service.start()
    return service


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def files(service: DataService, folder: str) -> set[Path]:
    return {path for path in (service.objects / "data" / folder).rglob("*") if path.is_file()}


async def test_an_unfinished_upload_ends_after_a_day(sweeping: DataService) -> None:
    async with User(sweeping, "late") as user:
        created = await user.stub.CreateUpload(pb.CreateUploadRequest(filename="a"))
        assert (created.expire_time.ToDatetime() - created.create_time.ToDatetime()) >= timedelta(hours=23)
        written = await user.write(created.name, os.urandom(9 * MIB))
        assert written.expire_time.ToDatetime() > created.expire_time.ToDatetime()
        assert files(sweeping, "uploads")
        sweeping.sql("UPDATE uploads SET expire_time = now() WHERE uid = %s", created.uid)
        await until(lambda: not files(sweeping, "uploads"))
        seen = await user.stub.GetUpload(pb.GetUploadRequest(name=created.name))
        assert seen.state == pb.UPLOAD_STATE_EXPIRED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await user.write(created.name, b"x", 9 * MIB)
        assert reason_of(refused.value) == "UPLOAD_NOT_OPEN"
        sweeping.sql("UPDATE uploads SET expire_time = now() - interval '8 days' WHERE uid = %s", created.uid)
        await until(lambda: not sweeping.sql("SELECT FROM uploads WHERE uid = %s", created.uid))


async def test_deleted_data_go_after_a_week_and_their_bytes_a_day_later(sweeping: DataService) -> None:
    async with User(sweeping, "gone") as user:
        job = await user.validate(qa(3), dataset=(await user.dataset("one")).name)
        kept = await user.validate(qa(4), dataset=(await user.dataset("two")).name)
        blobs = files(sweeping, "blobs")
        assert len(blobs) == 6  # original, rows and index of each
        await user.stub.DeleteDataset(pb.DeleteDatasetRequest(name="datasets/one"))
        sweeping.sql("UPDATE blobs SET create_time = now() - interval '2 days'")
        sweeping.sql("UPDATE uploads SET expire_time = now() WHERE tenant = 'gone'")
        await asyncio.sleep(1)
        assert files(sweeping, "blobs") == blobs  # deleted, but not for a week
        sweeping.sql("UPDATE datasets SET delete_time = now() - interval '8 days' WHERE delete_time IS NOT NULL")
        await until(lambda: len(files(sweeping, "blobs")) == 3)
        assert await user.dataset("one")  # the id is free again
        assert (await user.stub.PreviewRows(pb.PreviewRowsRequest(name=kept.dataset_version))).total_rows == 4
        with pytest.raises(grpc.aio.AioRpcError):
            await user.stub.PreviewRows(pb.PreviewRowsRequest(name=job.dataset_version))


async def test_bytes_without_a_row_go_when_they_are_old(sweeping: DataService) -> None:
    folder = sweeping.objects / "data" / "blobs" / "00"
    folder.mkdir(parents=True, exist_ok=True)
    young, old = folder / "young", folder / "old"
    young.write_bytes(b"young")
    old.write_bytes(b"old")
    two_days_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(old, (two_days_ago, two_days_ago))
    parts = sweeping.objects / "data" / "uploads" / "no-such-uid"
    parts.mkdir(parents=True, exist_ok=True)
    (parts / "part").write_bytes(b"part")
    await until(lambda: not old.exists() and not (parts / "part").exists())
    assert young.exists()
