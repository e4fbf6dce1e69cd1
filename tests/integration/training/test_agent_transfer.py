"""Bytes between an agent and the object store, by the addresses that the service gives: a folder's and S3's."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from aift.common.v1 import blob_pb2
from aift.training.v1 import worker_pb2
from aiohttp import web

from services.core.cache_room import Bounds
from services.core.file_cache import DigestMismatch
from services.core.objects import ObjectStore
from services.core.objects.directory import DirectoryStore
from services.core.objects.s3 import S3Store
from services.training_service.agent import transfer
from services.training_service.agent.fetch import DiskFull, Fetcher
from services.training_service.agent.link import Link
from services.training_service.agent.transfer import StoreFull, upload

NO_BOUNDS = Bounds(max_bytes=0, free_bytes=0)


class Service:
    """What the agent asks of the service, answered with addresses of a store."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.attempt = "trainingJobs/a/attempts/1"
        self.stub = SimpleNamespace(PrepareFiles=self.prepare, RefreshInputs=self.refresh)
        self.keys: list[str] = []
        self.fresh: worker_pb2.Inputs | None = None

    async def call(self, method: Any, request: Any, **_: Any) -> Any:
        return await method(self.stub)(request)

    async def prepare(self, request: worker_pb2.PrepareFilesRequest) -> worker_pb2.PrepareFilesResponse:
        targets = []
        for file in request.files:
            self.keys.append(f"training/a/{len(self.keys)}")
            url = await self.store.write_url(self.keys[-1], 600)
            targets.append(worker_pb2.FileTarget(path=file.path, key=self.keys[-1], url=url))
        return worker_pb2.PrepareFilesResponse(targets=targets)

    async def refresh(self, request: worker_pb2.RefreshInputsRequest) -> worker_pb2.RefreshInputsResponse:
        assert self.fresh is not None
        return worker_pb2.RefreshInputsResponse(inputs=self.fresh)

    async def files(self, contents: dict[str, bytes], *, ttl_s: float = 600) -> list[blob_pb2.FileUrl]:
        found = []
        for path, content in contents.items():
            key = f"data/{path}"
            await self.store.put(key, content)
            digest = hashlib.sha256(content).hexdigest()
            url = await self.store.read_url(key, ttl_s)
            found.append(blob_pb2.FileUrl(path=path, size_bytes=len(content), sha256=digest, url=url))
        return found

    async def inputs(self, *, ttl_s: float = 600) -> worker_pb2.Inputs:
        model = await self.files({"config.json": b"{}", "model.safetensors": bytes(3_000_000)}, ttl_s=ttl_s)
        rows = await self.files({"original/a.jsonl": b"original", "rows.parquet": b"rows"}, ttl_s=ttl_s)
        checkpoint = await self.files({"state.json": b"state"}, ttl_s=ttl_s)
        return worker_pb2.Inputs(
            base_model=worker_pb2.InputFiles(name="baseModels/a", digest="a" * 64, files=model),
            dataset=worker_pb2.InputFiles(name="datasets/a/versions/1", digest="b" * 64, files=rows),
            checkpoint=worker_pb2.InputFiles(name="checkpoint", digest="c" * 64, files=checkpoint),
            checkpoint_step=7,
        )


def as_link(service: Service) -> Link:
    """The service in the place of an agent's connection."""
    link: Any = service
    return link  # type: ignore[no-any-return]


async def test_a_folder_arrives_whole(object_store: ObjectStore, tmp_path: Path) -> None:
    service = Service(object_store)
    made = tmp_path / "model"
    (made / "deep").mkdir(parents=True)
    contents = {"a.bin": bytes(range(256)) * 8192, "deep/b.json": b"{}", "empty": b""}
    for path, content in contents.items():
        (made / path).write_bytes(content)
    written = await upload(as_link(service), made)
    assert {file.path for file in written} == set(contents)
    for file in written:
        stored = b"".join([piece async for piece in object_store.open(file.key)])
        assert stored == contents[file.path]
        assert (file.size_bytes, file.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


class FullService(Service):
    """A service whose store is full until it has been asked `times` times: its own disk, or that behind the addresses."""

    def __init__(self, store: ObjectStore, times: int, address: str = "") -> None:
        super().__init__(store)
        self.times, self.address = times, address

    async def prepare(self, request: worker_pb2.PrepareFilesRequest) -> worker_pb2.PrepareFilesResponse:
        self.times -= 1
        answer = await super().prepare(request)
        if self.times < 0:
            return answer
        if not self.address:
            raise grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), grpc.aio.Metadata())
        for target in answer.targets:
            target.url = self.address
        return answer


@pytest.fixture
async def full_address() -> AsyncIterator[str]:
    """Where an S3 server answers as one whose disk is full."""

    async def refuse(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=507)

    application = web.Application()
    application.router.add_put("/object", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/object"
    await runner.cleanup()


@pytest.mark.parametrize("behind", [False, True])
async def test_a_full_store_is_asked_again_and_then_named(
    tmp_path: Path, full_address: str, behind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_TRIES", 2)
    store, address = DirectoryStore(tmp_path / "store"), full_address if behind else ""
    made = tmp_path / "model"
    made.mkdir()
    (made / "weights").write_bytes(b"weights")
    with pytest.raises(StoreFull):
        await upload(as_link(FullService(store, 2, address)), made)
    [written] = await upload(as_link(FullService(store, 1, address)), made)
    assert await store.stat(written.key) == 7


async def test_inputs_arrive_once_and_verified(object_store: ObjectStore, tmp_path: Path) -> None:
    service = Service(object_store)
    inputs = await service.inputs()
    told: list[tuple[int, int]] = []
    fetcher = Fetcher(
        as_link(service), tmp_path / "cache", tmp_path / "own", NO_BOUNDS, lambda *done: told.append(done)
    )
    local = await fetcher.fetch(inputs)
    assert (local.base_model / "model.safetensors").stat().st_size == 3_000_000
    assert local.dataset.name == "rows.parquet"
    assert local.checkpoint is not None
    assert (local.checkpoint / "state.json").read_bytes() == b"state"
    assert local.checkpoint_step == 7
    # The original of the rows is not fetched: 3,000,000 + {} + rows + state.
    assert told[-1] == (3_000_011, 3_000_011)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    for name in ("model.safetensors", "config.json"):
        await object_store.delete(f"data/{name}")
    again = await Fetcher(as_link(service), tmp_path / "cache", tmp_path / "own", NO_BOUNDS, lambda *_: None).fetch(
        inputs
    )
    assert again == local


async def test_changed_bytes_are_refused(object_store: ObjectStore, tmp_path: Path) -> None:
    service = Service(object_store)
    inputs = await service.inputs()
    await object_store.put("data/config.json", b"[]")
    with pytest.raises(DigestMismatch):
        await Fetcher(as_link(service), tmp_path / "cache", tmp_path / "own", NO_BOUNDS, lambda *_: None).fetch(inputs)


@pytest.mark.minio
async def test_addresses_that_ran_out_are_asked_for_again(s3_store: S3Store, tmp_path: Path) -> None:
    await s3_store.check()
    service = Service(s3_store)
    old = await service.inputs()
    for files in (old.base_model.files, old.dataset.files, old.checkpoint.files):
        for file in files:
            # A signature of another time: what S3 answers when one has run out.
            file.url = file.url.replace("X-Amz-Expires=600", "X-Amz-Expires=1")
    service.fresh = await service.inputs()
    local = await Fetcher(as_link(service), tmp_path / "cache", tmp_path / "own", NO_BOUNDS, lambda *_: None).fetch(old)
    assert local.dataset.read_bytes() == b"rows"


@pytest.mark.minio
async def test_room_is_made_by_what_no_attempt_reads(s3_store: S3Store, tmp_path: Path) -> None:
    await s3_store.check()
    service = Service(s3_store)
    inputs, cache = await service.inputs(), tmp_path / "cache"
    small = Bounds(max_bytes=1, free_bytes=0)
    first = Fetcher(as_link(service), cache, tmp_path / "own", small, lambda *_: None)
    local = await first.fetch(inputs)
    other = await service.inputs()
    other.dataset.files[1].CopyFrom((await service.files({"rows.parquet": b"other rows"}))[0])
    second = Fetcher(as_link(service), cache, tmp_path / "own", small, lambda *_: None)
    assert (await second.fetch(other)).base_model == local.base_model
    assert local.dataset.exists(), "the first attempt still reads it"
    del first
    other.dataset.files[1].CopyFrom((await service.files({"rows.parquet": b"yet other rows"}))[0])
    third = Fetcher(as_link(service), cache, tmp_path / "own", small, lambda *_: None)
    assert (await third.fetch(other)).dataset.read_bytes() == b"yet other rows"
    assert not local.dataset.exists()
    assert (local.base_model / "config.json").exists(), "asked for again"


async def test_a_full_disk_is_told_of_before_anything_is_fetched(object_store: ObjectStore, tmp_path: Path) -> None:
    service = Service(object_store)
    inputs = await service.inputs()
    huge = inputs.base_model.files[1]
    huge.size_bytes, huge.url = 1 << 60, "http://127.0.0.1:1/never-asked"
    with pytest.raises(DiskFull):
        await Fetcher(as_link(service), tmp_path / "cache", tmp_path / "own", NO_BOUNDS, lambda *_: None).fetch(inputs)
    assert not list((tmp_path / "cache").iterdir())
