"""Uploads: whole, interrupted, by two writers, wrong, and over the death of the service."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable

import grpc
import psycopg
import pytest
from aift.data.v1 import data_pb2 as pb

from tests.integration.data.conftest import MIB, DataService, User, info_of, messages, qa, reason_of, sha256


async def create(user: User, size: int = 0, filename: str = "data.jsonl") -> str:
    return (await user.stub.CreateUpload(pb.CreateUploadRequest(filename=filename, size_bytes=size))).name


async def finalize(user: User, name: str, digest: str = "") -> pb.Upload:
    return await user.stub.FinalizeUpload(pb.FinalizeUploadRequest(name=name, sha256=digest))


async def blob_of(user: User, name: str) -> object:
    async with user.as_("service") as service:
        return await service.stub.GetUploadBlob(pb.GetUploadBlobRequest(name=name))


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 21 * MIB + 12345])
async def test_what_was_sent_is_what_is_kept(either_user: User, size: int) -> None:
    data = os.urandom(size)
    done = await either_user.upload(data)
    assert (done.state, done.sha256, done.committed_bytes) == (pb.UPLOAD_STATE_FINALIZED, sha256(data), size)
    again = await finalize(either_user, done.name, sha256(data))
    assert again.sha256 == done.sha256


async def test_a_clean_end_commits_the_last_bytes_and_another_stream_goes_on(either_user: User) -> None:
    data = os.urandom(19 * MIB)
    name = await create(either_user)
    at = 0
    for size in (100, 8 * MIB, 3, 5 * MIB):
        upload = await either_user.write(name, data[at : at + size], at, chunk=300_000)
        at += size
        assert upload.committed_bytes == at
    await either_user.write(name, data[at:], at)
    assert (await finalize(either_user, name)).sha256 == sha256(data)


async def test_a_broken_stream_goes_on_from_the_committed_offset(user: User) -> None:
    data = os.urandom(20 * MIB)
    name = await create(user, len(data))

    async def half() -> AsyncIterator[pb.WriteUploadRequest]:
        async for message in messages(name, data[: 18 * MIB], 0, chunk=MIB):
            yield message
        await asyncio.sleep(60)

    call = user.stub.WriteUpload(half())
    committed = 0
    async with asyncio.timeout(60):
        while committed < 16 * MIB:
            await asyncio.sleep(0.05)
            committed = (await user.stub.GetUpload(pb.GetUploadRequest(name=name))).committed_bytes
    call.cancel()
    assert committed == 16 * MIB
    await user.write(name, data[committed:], committed)
    assert (await finalize(user, name, sha256(data))).sha256 == sha256(data)


@pytest.mark.parametrize("store", ["directory", pytest.param("minio", marks=pytest.mark.minio)])
async def test_an_upload_outlives_the_service(
    make_service: Callable[..., DataService], request: pytest.FixtureRequest, store: str
) -> None:
    environment = {}
    if store == "minio":
        server = request.getfixturevalue("s3_server")
        environment = server.environment(f"data-{uuid.uuid4().hex[:12]}")
    service = make_service(**environment)
    service.start()
    data = os.urandom(30 * MIB + 77)
    async with User(service, "acme") as user:
        name = await create(user, len(data))
        await user.write(name, data[: 9 * MIB], 0)

        async def endless() -> AsyncIterator[pb.WriteUploadRequest]:
            async for message in messages(name, data[9 * MIB : 25 * MIB], 9 * MIB, chunk=MIB):
                yield message
            await asyncio.sleep(60)

        call = user.stub.WriteUpload(endless())
        await asyncio.sleep(0.5)
        service.kill()
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    service.start()
    async with User(service, "acme") as user:
        committed = (await user.stub.GetUpload(pb.GetUploadRequest(name=name))).committed_bytes
        assert 9 * MIB <= committed < 25 * MIB
        await user.write(name, data[committed:], committed)
        assert (await finalize(user, name, sha256(data))).sha256 == sha256(data)


async def test_parts_lost_in_a_power_cut_are_asked_for_again(make_service: Callable[..., DataService]) -> None:
    service = make_service()
    service.start()
    data = os.urandom(24 * MIB)
    async with User(service, "acme") as user:
        name = await create(user)
        await user.write(name, data, 0)
    service.kill()
    ((key,),) = service.sql("SELECT key FROM upload_parts WHERE offset_bytes = %s", 8 * MIB)
    (service.objects / key).write_bytes(b"")
    service.start()
    async with User(service, "acme") as user:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await user.write(name, b"more", 24 * MIB)
        assert info_of(refused.value).metadata["committed_bytes"] == str(8 * MIB)
        await user.write(name, data[8 * MIB :], 8 * MIB)
        assert (await finalize(user, name)).sha256 == sha256(data)


async def test_a_second_writer_ends_the_first(user: User) -> None:
    data = os.urandom(12 * MIB)
    name = await create(user)

    async def slow() -> AsyncIterator[pb.WriteUploadRequest]:
        async for message in messages(name, data[: 9 * MIB], 0, chunk=MIB):
            yield message
        await asyncio.sleep(60)

    first = user.stub.WriteUpload(slow())
    committed = 0
    async with asyncio.timeout(60):
        while committed == 0:
            committed = (await user.stub.GetUpload(pb.GetUploadRequest(name=name))).committed_bytes
    await user.write(name, data[committed:], committed)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async with asyncio.timeout(60):
            await first
    assert (ended.value.code(), reason_of(ended.value)) == (grpc.StatusCode.ABORTED, "UPLOAD_SUPERSEDED")
    assert (await finalize(user, name)).sha256 == sha256(data)


async def test_finalising_ends_the_writer(user: User) -> None:
    name = await create(user)
    await user.write(name, b"abc")

    async def open_end() -> AsyncIterator[pb.WriteUploadRequest]:
        yield pb.WriteUploadRequest(name=name, offset_bytes=3, data=b"def")
        await asyncio.sleep(60)

    writing = user.stub.WriteUpload(open_end())
    await asyncio.sleep(0.3)
    assert (await finalize(user, name)).sha256 == sha256(b"abc")
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await writing  # refused from the first when it comes only now
    assert ended.value.code() in (grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION)


async def test_two_finalise_at_once(user: User) -> None:
    data = os.urandom(9 * MIB)
    name = await create(user)
    await user.write(name, data)
    done = await asyncio.gather(*(finalize(user, name) for _ in range(4)))
    assert {one.sha256 for one in done} == {sha256(data)}


async def test_finalising_goes_on_when_the_caller_waits_no_longer(user: User, directory_service: DataService) -> None:
    data = os.urandom(9 * MIB)
    name = await create(user)
    await user.write(name, data)
    with psycopg.connect(directory_service.database_url) as held:
        held.execute("SELECT FROM data.uploads FOR UPDATE")
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await user.stub.FinalizeUpload(pb.FinalizeUploadRequest(name=name, sha256=sha256(data)), timeout=3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wrong = asyncio.create_task(finalize(user, name, sha256(b"other")))
        await asyncio.sleep(0.2)
    # Nobody asks again for what is true, and it comes true; who claimed something else waited for that.
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await wrong
    assert reason_of(refused.value) == "UPLOAD_DIGEST"
    assert (await user.stub.GetUpload(pb.GetUploadRequest(name=name))).state == pb.UPLOAD_STATE_FINALIZED


async def test_two_processes_close_an_upload_once(make_service: Callable[..., DataService]) -> None:
    """The one that comes later waits for the other, or for it to be dead."""
    service = make_service()
    service.start()
    other = service.beside()
    other.start()
    try:
        data = os.urandom(20 * MIB)
        async with User(service, "acme") as here, User(other, "acme") as there:
            name = await create(here)
            await here.write(name, data)
            # As a process leaves it that was killed while it closed: nobody takes over before its time is over.
            held = "UPDATE uploads SET closing_until = clock_timestamp() + interval '2 seconds'"
            service.sql(held)
            closed = await asyncio.gather(*(finalize(user, name, sha256(data)) for user in (here, there, here)))
            assert {(one.state, one.sha256) for one in closed} == {(pb.UPLOAD_STATE_FINALIZED, sha256(data))}
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await finalize(there, name, sha256(b"other"))
            assert reason_of(refused.value) == "UPLOAD_DIGEST"
    finally:
        other.kill()
    # One stream wrote, and one process closed.
    assert service.sql("SELECT writer FROM uploads") == [(2,)]
    assert service.sql("SELECT count(*) FROM blobs") == [(1,)]
    stored = [path for path in (service.objects / "data").rglob("*") if path.is_file() and "uploads" not in path.parts]
    assert [path.stat().st_size for path in stored] == [len(data)]


@pytest.mark.parametrize("offset", [5, 1])
async def test_a_gap_or_overlap_tells_where_to_go_on(user: User, offset: int) -> None:
    name = await create(user)
    await user.write(name, b"abc")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.write(name, b"xyz", offset)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.OUT_OF_RANGE, "UPLOAD_OFFSET")
    assert info_of(refused.value).metadata["committed_bytes"] == "3"


async def test_a_gap_inside_a_stream_keeps_what_came_before(user: User) -> None:
    name = await create(user)

    async def gap() -> AsyncIterator[pb.WriteUploadRequest]:
        yield pb.WriteUploadRequest(name=name, offset_bytes=0, data=b"abc")
        yield pb.WriteUploadRequest(offset_bytes=7, data=b"xyz")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.WriteUpload(gap())
    assert info_of(refused.value).metadata["committed_bytes"] == "3"


async def test_more_bytes_than_declared_are_refused(user: User) -> None:
    name = await create(user, size=4)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.write(name, b"abcde")
    assert (refused.value.code(), reason_of(refused.value)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "UPLOAD_TOO_LARGE",
    )


async def test_missing_bytes_and_a_wrong_digest_keep_it_open(user: User) -> None:
    name = await create(user, size=6)
    await user.write(name, b"abc")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await finalize(user, name)
    assert reason_of(refused.value) == "UPLOAD_INCOMPLETE"
    await user.write(name, b"def", 3)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await finalize(user, name, sha256(b"other"))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.DATA_LOSS, "UPLOAD_DIGEST")
    assert (await finalize(user, name, sha256(b"abcdef"))).state == pb.UPLOAD_STATE_FINALIZED


async def test_a_closed_upload_takes_no_more(user: User) -> None:
    name = (await user.upload(b"abc")).name
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.write(name, b"d", 3)
    assert (refused.value.code(), reason_of(refused.value)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPLOAD_NOT_OPEN",
    )


@pytest.mark.parametrize("name", ["", "uploads/../x", "uploads/a\0b", "uploads/", "datasets/a", "uploads/A"])
async def test_names_that_are_none(user: User, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.GetUpload(pb.GetUploadRequest(name=name))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.write(name, b"x")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("filename", ["../../etc/passwd", "a/b", "..", "x\0y", "x" * 256, "a\\b"])
async def test_file_names_that_are_paths(user: User, filename: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(user, filename=filename)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_another_tenant_sees_nothing(user: User) -> None:
    name = (await user.upload(b"abc")).name
    async with User(user.service, "other") as stranger:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stranger.stub.GetUpload(pb.GetUploadRequest(name=name))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_same_request_begins_one_upload(user: User) -> None:
    request = pb.CreateUploadRequest(filename="a", size_bytes=3, request_id=str(uuid.uuid4()))
    first, second = await user.stub.CreateUpload(request), await user.stub.CreateUpload(request)
    assert first.name == second.name
    request.size_bytes = 4
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.CreateUpload(request)
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"


async def test_the_blob_is_for_services(user: User) -> None:
    data = qa(3)
    name = (await user.upload(data)).name
    blob = await blob_of(user, name)
    assert (blob.sha256, blob.size_bytes) == (sha256(data), len(data))  # type: ignore[attr-defined]
    assert (user.service.objects / blob.key).read_bytes() == data  # type: ignore[attr-defined]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.GetUploadBlob(pb.GetUploadBlobRequest(name=name))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await blob_of(user, await create(user))
    assert reason_of(refused.value) == "UPLOAD_NOT_FINALIZED"


async def test_no_parts_stay_behind(user: User) -> None:
    data = os.urandom(17 * MIB)
    name = await create(user)
    await user.write(name, data[:100])
    await user.write(name, data[100:], 100)
    ((uid,),) = user.service.sql("SELECT uid FROM uploads WHERE id = %s", name.removeprefix("uploads/"))
    folder = user.service.objects / "data" / "uploads" / uid
    assert folder.exists()
    await finalize(user, name)
    async with asyncio.timeout(60):
        while folder.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
