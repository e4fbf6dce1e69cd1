"""Imports by the running service: from its drop directory, from S3, from a Hub on loopback."""

from __future__ import annotations

import asyncio
import io
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb
from minio import Minio

from services.data_service.sources.drop_directory import SETTLED_AFTER_S
from tests.conftest import S3Server, find_free_port
from tests.integration.data.conftest import DataService, User, qa, reason_of, sha256
from tests.integration.registry.hub_server import COMMIT, HubServer, Repository


@pytest.fixture
def drop(directory_service: DataService) -> Path:
    """The drop directory of the service."""
    return directory_service.folder / "drop"


def put(folder: Path, name: str, content: bytes) -> str:
    """A file that was copied a while ago, under a name of this test's own."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return name


async def settle() -> None:
    await asyncio.sleep(SETTLED_AFTER_S + 0.1)


async def imported(user: User, **source: Any) -> pb.DataJob:
    dataset = await user.dataset()
    job = await user.stub.ImportDataset(pb.ImportDatasetRequest(dataset=dataset.name, **source))
    return await user.ended(job.name)


async def version_of(user: User, job: pb.DataJob) -> pb.DatasetVersion:
    assert job.state == pb.DATA_JOB_STATE_SUCCEEDED, job
    return await user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=job.dataset_version))


async def refused(user: User, **source: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await imported(user, **source)
    return reason_of(caught.value)


async def test_a_dropped_file(user: User, drop: Path) -> None:
    name = put(drop, f"データ-{uuid.uuid4().hex[:6]}.jsonl", qa(20))
    os.utime(drop / name, (1, 1))  # as `cp -p` leaves it: it is the change that counts
    assert await refused(user, dropped_file=name) == "DROPPED_FILE_UNSETTLED"
    await settle()
    job = await imported(user, dropped_file=name)
    version = await version_of(user, job)
    assert (job.kind, version.statistics.rows, version.filename) == (pb.DATA_JOB_KIND_IMPORT, 20, name)
    assert (version.source, job.source) == (f"drop:{name}", f"drop:{name}")
    assert version.sha256 == sha256(qa(20))
    assert job.total_bytes == version.size_bytes == len(qa(20))


async def test_a_dropped_folder_is_one_version(user: User, drop: Path) -> None:
    name = f"folder-{uuid.uuid4().hex[:6]}"
    for number in range(3):
        put(drop / name, f"{number}.jsonl", qa(5, start=5 * number))
    await settle()
    version = await version_of(user, await imported(user, dropped_file=name))
    assert (version.statistics.rows, version.filename) == (15, f"{name}.tar")
    rows = await user.stub.PreviewRows(pb.PreviewRowsRequest(name=version.name, limit=15))
    assert [row.completion for row in rows.rows] == [f"総務{i}課です。" for i in range(15)]
    again = await version_of(user, await imported(user, dropped_file=name))
    assert again.sha256 == version.sha256


async def test_an_empty_folder_says_so(user: User, drop: Path) -> None:
    name = f"empty-{uuid.uuid4().hex[:6]}"
    (drop / name).mkdir()
    await asyncio.sleep(SETTLED_AFTER_S)
    job = await imported(user, dropped_file=name)
    assert (job.failure.reason, "EMPTY_FILE" in job.failure.message.en) == ("DATA_INVALID", True)


async def test_dropped_files_are_listed_by_name(user: User, drop: Path) -> None:
    prefix = uuid.uuid4().hex[:6]
    names = [put(drop, f"{prefix}-{i}.jsonl", b"x" * i) for i in range(1, 4)]
    (drop / f"{prefix}-out.jsonl").symlink_to("/etc/passwd")
    (drop / f".{prefix}-hidden").write_bytes(b"x")
    seen: list[pb.DroppedFile] = []
    token = ""
    while True:
        page = await user.stub.ListDroppedFiles(pb.ListDroppedFilesRequest(page_size=2, page_token=token))
        seen += page.files
        token = page.next_page_token
        if not token:
            break
    ours = [file for file in seen if prefix in file.name]
    assert [file.name for file in ours] == names
    assert [file.size_bytes for file in ours] == [1, 2, 3]
    assert not ours[0].settled
    assert abs(ours[0].update_time.seconds - time.time()) < 30


@pytest.mark.parametrize("name", ["../objects", "no-such-file", "", ".", "..", "a/b", "/etc/passwd"])
async def test_no_other_file_of_the_server(name: str, user: User) -> None:
    assert await refused(user, dropped_file=name) == "DROPPED_FILE_MISSING"


async def test_a_link_out_of_the_drop_directory(user: User, drop: Path) -> None:
    name = f"link-{uuid.uuid4().hex[:6]}"
    (drop / name).symlink_to("/etc")
    assert await refused(user, dropped_file=name) == "DROPPED_FILE_MISSING"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"url": "https://example.com/data.jsonl"}, "URL_NOT_ALLOWED"),
        ({"url": "http://example.com/data.jsonl"}, "URL_NOT_ALLOWED"),
        ({"url": "https://169.254.169.254/latest"}, "URL_NOT_ALLOWED"),
        ({"s3_uri": "s3://bucket/key"}, "BUCKET_NOT_ALLOWED"),
        ({"s3_uri": "bucket/key"}, "INVALID_ARGUMENT"),
        ({"hub": pb.HubDataset(id="no id")}, "INVALID_ARGUMENT"),
        ({"hub": pb.HubDataset(id="a/b", path="../x")}, "INVALID_ARGUMENT"),
        ({}, "INVALID_ARGUMENT"),
    ],
)
async def test_sources_that_are_refused(source: dict[str, Any], reason: str, user: User) -> None:
    assert await refused(user, **source) == reason


async def test_an_allowed_bucket_without_an_s3_store(make_service: Callable[..., DataService]) -> None:
    service = make_service(AIFT_IMPORT_BUCKETS="corpora")
    service.start()
    async with User(service, "t") as user:
        assert await refused(user, s3_uri="s3://corpora/rows.jsonl") == "NO_S3_STORE"
        assert await refused(user, s3_uri="s3://other/rows.jsonl") == "BUCKET_NOT_ALLOWED"


async def test_what_was_fetched_is_not_fetched_again(make_service: Callable[..., DataService]) -> None:
    service = make_service()
    service.start()
    name = put(service.folder / "drop", "data.jsonl", qa(60_000))
    await settle()
    async with User(service, "t") as user:
        dataset = await user.dataset()
        job = await user.stub.ImportDataset(pb.ImportDatasetRequest(dataset=dataset.name, dropped_file=name))
        while not service.sql("SELECT 1 FROM data_jobs WHERE sha256 <> ''"):  # noqa: ASYNC110 - the service's state
            await asyncio.sleep(0.02)
    service.kill()
    (service.folder / "drop" / name).unlink()
    service.start()
    async with User(service, "t") as user:
        ended = await user.ended(job.name)
        assert (await version_of(user, ended)).statistics.rows == 60_000


# --- S3 ---------------------------------------------------------------------------------------------------------


@pytest.mark.minio
async def test_objects_of_allowed_buckets(make_service: Callable[..., DataService], s3_server: S3Server) -> None:
    own, corpora = f"own-{uuid.uuid4().hex[:8]}", f"corpora-{uuid.uuid4().hex[:8]}"
    client = Minio(s3_server.endpoint, s3_server.access_key, s3_server.secret_key, secure=False)
    for bucket in (own, corpora):
        client.make_bucket(bucket)
        for key in ("日本語/faq 1.jsonl", "shared/a.jsonl", "data/secret.jsonl"):
            client.put_object(bucket, key, io.BytesIO(qa(7)), len(qa(7)))
    buckets = f"{corpora}, {own}, {own}/shared, {own}/data"
    service = make_service(**s3_server.environment(own), AIFT_IMPORT_BUCKETS=buckets)
    service.start()
    async with User(service, "t") as user:
        # A space is refused in the address; other characters are not.
        version = await version_of(user, await imported(user, s3_uri=f"s3://{corpora}/shared/a.jsonl"))
        assert (version.statistics.rows, version.filename) == (7, "a.jsonl")
        assert version.source == f"s3://{corpora}/shared/a.jsonl"
        await version_of(user, await imported(user, s3_uri=f"s3://{own}/shared/a.jsonl"))
        for uri in (
            f"s3://{own}/data/secret.jsonl",
            f"s3://{own}/日本語/x",
            "s3://other/x",
            f"s3://{own}/shared/../data/x",
        ):
            assert await refused(user, s3_uri=uri) == "BUCKET_NOT_ALLOWED"
        job = await imported(user, s3_uri=f"s3://{corpora}/no-such-key")
        assert job.failure.reason == "SOURCE_NOT_FOUND"
    service.stop()


# --- Hub --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub_service(make_service: Callable[..., DataService]) -> tuple[DataService, int]:
    """A service that asks a Hub on a port of loopback."""
    port = find_free_port()
    service = make_service(AIFT_HUB_ENDPOINT=f"http://127.0.0.1:{port}", AIFT_HUB_TOKEN="hf_ours")
    service.start()
    return service, port


@pytest.fixture
async def hub(hub_service: tuple[DataService, int]) -> AsyncIterator[tuple[HubServer, User]]:
    """A Hub with data sets, and a user of the service."""
    service, port = hub_service
    server = HubServer(port)
    server.repositories = {
        "someone/one": Repository(files={"README.md": b"#", "data/train.jsonl": qa(9)}),
        "someone/many": Repository(files={"train.jsonl": qa(9), "test.csv": b"text\nx\n", "LICENSE": b""}),
        "someone/gated": Repository(files={"train.jsonl": qa(9)}, gated_for="hf_theirs"),
        "someone/empty": Repository(files={"README.md": b"#"}),
    }
    async with server, User(service, uuid.uuid4().hex[:12]) as user:
        yield server, user


async def test_the_only_file_of_a_data_set(hub: tuple[HubServer, User]) -> None:
    server, user = hub
    version = await version_of(user, await imported(user, hub=pb.HubDataset(id="someone/one")))
    assert (version.statistics.rows, version.filename) == (9, "train.jsonl")
    assert version.source == f"hub:someone/one@{COMMIT}:data/train.jsonl"
    assert server.tokens == {"Bearer hf_ours"}


async def test_one_of_several_files_has_to_be_named(hub: tuple[HubServer, User]) -> None:
    _, user = hub
    job = await imported(user, hub=pb.HubDataset(id="someone/many"))
    assert job.failure.reason == "HUB_FILE_NOT_CHOSEN"
    assert "train.jsonl, test.csv" in job.failure.message.en
    version = await version_of(user, await imported(user, hub=pb.HubDataset(id="someone/many", path="train.jsonl")))
    assert version.statistics.rows == 9


@pytest.mark.parametrize(
    ("hub_id", "revision", "reason"),
    [
        ("someone/missing", "", "HUB_DATASET_NOT_FOUND"),
        ("someone/one", "v9", "HUB_DATASET_REVISION_NOT_FOUND"),
        ("someone/gated", "", "HUB_DATASET_GATED"),
        ("someone/empty", "", "HUB_FILE_NOT_CHOSEN"),
    ],
)
async def test_what_the_hub_refuses(hub_id: str, revision: str, reason: str, hub: tuple[HubServer, User]) -> None:
    _, user = hub
    job = await imported(user, hub=pb.HubDataset(id=hub_id, revision=revision))
    assert job.failure.reason == reason


async def test_a_hub_that_is_away(hub: tuple[HubServer, User]) -> None:
    server, user = hub
    server.away = True
    job = await imported(user, hub=pb.HubDataset(id="someone/one"))
    assert (job.state, job.failure.reason) == (pb.DATA_JOB_STATE_FAILED, "SOURCE_UNREACHABLE")
