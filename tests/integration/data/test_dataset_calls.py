"""Data sets: made, listed in pages, changed, deleted; who may."""

from __future__ import annotations

import asyncio
import uuid

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from tests.integration.data.conftest import User, qa, reason_of


def named(name: str) -> pb.GetDatasetRequest:
    return pb.GetDatasetRequest(name=name)


async def test_made_read_and_changed(user: User) -> None:
    dataset = pb.Dataset(display_name="社内問い合わせ", description="2026 年版")
    made = await user.stub.CreateDataset(pb.CreateDatasetRequest(dataset_id="faq", dataset=dataset))
    assert (made.name, made.display_name, made.latest_version) == ("datasets/faq", "社内問い合わせ", "")
    assert await user.stub.GetDataset(named(made.name)) == made
    change = pb.UpdateDatasetRequest(
        dataset=pb.Dataset(name=made.name, display_name="新", description="x", etag=made.etag),
        update_mask=FieldMask(paths=["display_name"]),
    )
    changed = await user.stub.UpdateDataset(change)
    assert (changed.display_name, changed.description) == ("新", "2026 年版")
    assert changed.etag != made.etag
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.UpdateDataset(change)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_the_same_request_makes_one(user: User) -> None:
    request = pb.CreateDatasetRequest(dataset=pb.Dataset(display_name="a"), request_id=str(uuid.uuid4()))
    made = await asyncio.gather(*(user.stub.CreateDataset(request) for _ in range(5)))
    assert len({one.name for one in made}) == 1
    request.dataset.display_name = "b"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.CreateDataset(request)
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"


async def test_an_update_with_the_same_request_id_happens_once(user: User) -> None:
    made = await user.dataset()
    request = pb.UpdateDatasetRequest(
        dataset=pb.Dataset(name=made.name, display_name="x", etag=made.etag), request_id=str(uuid.uuid4())
    )
    first = await user.stub.UpdateDataset(request)
    assert await user.stub.UpdateDataset(request) == first


async def test_a_taken_id(user: User) -> None:
    await user.dataset("faq")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.dataset("faq")
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    async with User(user.service, uuid.uuid4().hex) as stranger:
        await stranger.dataset("faq")


@pytest.mark.parametrize("id_", ["A", "../x", "a\0", "-a", "a" * 64, "a/b"])
async def test_ids_that_are_none(user: User, id_: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.dataset(id_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_pages_are_newest_first_and_stay_stable(user: User) -> None:
    names = [(await user.dataset()).name for _ in range(7)]
    seen: list[str] = []
    request = pb.ListDatasetsRequest(page_size=3)
    while True:
        page = await user.stub.ListDatasets(request)
        seen += [one.name for one in page.datasets]
        await user.dataset()  # newer ones do not move the pages
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == names[::-1]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.ListDatasets(pb.ListDatasetsRequest(page_token="nonsense"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_deleted_is_gone_and_its_id_stays_taken(user: User) -> None:
    made = await user.dataset("gone")
    await user.validate(qa(3), dataset=made.name)
    request = pb.DeleteDatasetRequest(name=made.name)
    await user.stub.DeleteDataset(request)
    await user.stub.DeleteDataset(request)
    for call in (
        user.stub.GetDataset(named(made.name)),
        user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=f"{made.name}/versions/1")),
        user.stub.ListDatasetVersions(pb.ListDatasetVersionsRequest(parent=made.name)),
        user.stub.PreviewRows(pb.PreviewRowsRequest(name=made.name)),
        user.stub.ListDatasetReferences(pb.ListDatasetReferencesRequest(name=made.name)),
        user.stub.ListDatasetReferences(pb.ListDatasetReferencesRequest(name=f"{made.name}/versions/1")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert "/versions does not exist" not in str(refused.value.details())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.dataset("gone")
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(refused.value) == "RECENTLY_DELETED"
    assert made.name not in [one.name for one in (await user.stub.ListDatasets(pb.ListDatasetsRequest())).datasets]


async def test_what_may_not_be_changed(user: User) -> None:
    made = await user.dataset()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.UpdateDataset(
            pb.UpdateDatasetRequest(dataset=pb.Dataset(name=made.name), update_mask=FieldMask(paths=["uid"]))
        )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_roles(user: User) -> None:
    made = await user.dataset()
    async with user.as_("viewer") as viewer:
        assert await viewer.stub.GetDataset(named(made.name)) == made
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await viewer.dataset()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    async with user.as_("worker") as worker:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.stub.GetDataset(named(made.name))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
