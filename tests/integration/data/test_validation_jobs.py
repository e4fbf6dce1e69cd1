"""Data jobs: good and bad files, the version that comes of them, and what kills, cancels or loses them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from aift.data.v1 import data_pb2 as pb

from services.data_service.sources.drop_directory import SETTLED_AFTER_S
from tests.integration.data.conftest import DataService, User, jsonl, qa, reason_of, sha256

LONG = 400_000
"""Rows of a check that a test stops."""
SHORT = 30_000
"""Rows of one that it lets come to its end."""


async def start(user: User, data: bytes, dataset: str = "") -> pb.DataJob:
    upload = await user.upload(data)
    dataset = dataset or (await user.dataset()).name
    request = pb.ValidateDatasetRequest(dataset=dataset, upload=upload.name, request_id=str(uuid.uuid4()))
    job = await user.stub.ValidateDataset(request)
    assert (await user.stub.ValidateDataset(request)).name == job.name
    return job


async def child_of(service: DataService) -> psutil.Process:
    """The checking process, once there is one."""
    async with asyncio.timeout(60):
        while not (found := service.children("validation")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found[0]


def dropped(service: DataService, data: bytes) -> str:
    """A file in the service's drop directory, which is settled after SETTLED_AFTER_S."""
    path = service.folder / "drop" / f"{uuid.uuid4().hex[:8]}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path.name


async def gone(child: psutil.Process) -> None:
    """Waits for its end."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, [child], 60)
    assert not alive


async def tidy(service: DataService) -> None:
    """Waits until no job has a folder."""
    async with asyncio.timeout(60):
        while list((service.folder / "data" / "jobs").iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_good_file_becomes_a_version(either_user: User) -> None:
    user = either_user
    data = qa(1200)
    job = await user.validate(data, dataset=(await user.dataset("faq")).name)
    assert (job.state, job.dataset_version) == (pb.DATA_JOB_STATE_SUCCEEDED, "datasets/faq/versions/1")
    assert (job.rows, job.done_bytes, job.total_bytes) == (1200, len(data), len(data))
    assert job.start_time.ToDatetime() <= job.end_time.ToDatetime()
    version = await user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=job.dataset_version))
    assert (version.sha256, version.size_bytes, version.filename) == (sha256(data), len(data), "data.jsonl")
    template = version.template
    assert (template.form, template.train_on) == (pb.ROW_FORM_TEXT, pb.TRAIN_ON_COMPLETION)
    assert (template.prompt_marker, template.completion_marker) == ("質問: ", "\n回答: ")
    assert template.evidence.en == "1200 of 1200 rows: 質問 / 回答"
    assert version.statistics.rows == 1200
    assert [file.path for file in version.files] == ["original/data.jsonl", "rows.parquet"]
    report = await user.report(version.name)
    assert report.valid
    assert report == await user.report(job.name)
    dataset = await user.stub.GetDataset(pb.GetDatasetRequest(name="datasets/faq"))
    assert dataset.latest_version == version.name


BAD = [
    (b"", "EMPTY_FILE", 0, ""),
    (b"\n \n", "EMPTY_FILE", 0, ""),
    (qa(2) + b'{"text": "broken\n' + qa(2), "INVALID_JSON", 3, ""),
    (jsonl({"instruction": "a", "response": "b"}, {"instruction": "c"}), "MISSING_FIELD", 2, "response"),
    (qa(3).decode().encode("cp932"), "NOT_UTF8", 1, ""),
    (qa(3).decode().encode("euc_jp"), "NOT_UTF8", 1, ""),
    (b"PK\x03\x04" + bytes(100) + b"xl/workbook.xml", "NOT_TEXT", 1, ""),
    (json.dumps({"text": "a"}, indent=2).encode(), "NOT_ONE_OBJECT_PER_LINE", 1, ""),
]


@pytest.mark.parametrize(("data", "reason", "line", "field"), BAD)
async def test_bad_files_leave_nothing(user: User, data: bytes, reason: str, line: int, field: str) -> None:
    dataset = await user.dataset()
    job = await user.validate(data, dataset=dataset.name)
    assert (job.state, job.failure.reason, job.dataset_version) == (pb.DATA_JOB_STATE_FAILED, "DATA_INVALID", "")
    for text in (job.failure.message.en, job.failure.message.ja):
        assert reason in text
        assert not line or str(line) in text
        assert field in text
    report = await user.report(job.name)
    assert not report.valid
    finding = report.findings[0]
    assert (finding.reason, finding.severity) == (reason, pb.SEVERITY_ERROR)
    assert finding.message.en
    assert finding.message.ja
    if line:
        assert (finding.examples[0].line, finding.examples[0].field) == (line, field)
    assert (await user.stub.GetDataset(pb.GetDatasetRequest(name=dataset.name))).latest_version == ""
    assert user.service.sql("SELECT count(*) FROM versions WHERE tenant = %s", user.tenant) == [(0,)]


async def test_a_new_data_set_is_made_with_its_first_version(user: User) -> None:
    asked: dict[str, Any] = {"dataset": "datasets/fresh", "new_dataset": pb.NewDataset(display_name="新しい")}
    refused_job = await user.validate(b"", **asked)
    assert (refused_job.state, refused_job.dataset) == (pb.DATA_JOB_STATE_FAILED, "datasets/fresh")
    assert not (await user.stub.ListDatasets(pb.ListDatasetsRequest())).datasets
    for number in (1, 2):
        job = await user.validate(qa(3, start=number), **asked)
        assert job.dataset_version == f"datasets/fresh/versions/{number}"
    (found,) = (await user.stub.ListDatasets(pb.ListDatasetsRequest())).datasets
    assert (found.name, found.display_name) == ("datasets/fresh", "新しい")


async def test_a_new_data_set_may_have_an_id_made(user: User) -> None:
    upload = await user.upload(qa(3))
    request = pb.ValidateDatasetRequest(upload=upload.name, new_dataset=pb.NewDataset(), request_id="once")
    job = await user.stub.ValidateDataset(request)
    assert (await user.stub.ValidateDataset(request)).dataset == job.dataset
    assert (await user.ended(job.name)).dataset_version == f"{job.dataset}/versions/1"


async def test_a_new_data_set_does_not_take_the_id_of_a_deleted_one(user: User) -> None:
    gone = (await user.dataset()).name
    await user.stub.DeleteDataset(pb.DeleteDatasetRequest(name=gone))
    upload = await user.upload(qa(3))
    request = pb.ValidateDatasetRequest(dataset=gone, upload=upload.name, new_dataset=pb.NewDataset())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.ValidateDataset(request)
    assert reason_of(refused.value) == "RECENTLY_DELETED"


async def test_numbers_are_never_used_twice(user: User) -> None:
    dataset = (await user.dataset("n")).name
    for number in (1, 2):
        job = await user.validate(qa(3, start=number), dataset=dataset)
        assert job.dataset_version == f"{dataset}/versions/{number}"
    gone = pb.DeleteDatasetVersionRequest(name=f"{dataset}/versions/2")
    await user.stub.DeleteDatasetVersion(gone)
    await user.stub.DeleteDatasetVersion(gone)
    seen = await user.stub.GetDataset(pb.GetDatasetRequest(name=dataset))
    assert seen.latest_version == f"{dataset}/versions/1"
    job = await user.validate(qa(3, start=3), dataset=dataset)
    assert job.dataset_version == f"{dataset}/versions/3"
    pages = pb.ListDatasetVersionsRequest(parent=dataset, page_size=1)
    first = await user.stub.ListDatasetVersions(pages)
    pages.page_token = first.next_page_token
    second = await user.stub.ListDatasetVersions(pages)
    found = [version.name for version in (*first.dataset_versions, *second.dataset_versions)]
    assert (found, second.next_page_token) == ([f"{dataset}/versions/3", f"{dataset}/versions/1"], "")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=f"{dataset}/versions/2"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_form_and_part_can_be_chosen(user: User) -> None:
    job = await user.validate(qa(3), form=pb.ROW_FORM_MESSAGES)
    assert (job.failure.reason, (await user.report(job.name)).findings[0].reason) == ("DATA_INVALID", "MISSING_FIELD")
    job = await user.validate(qa(3), train_on=pb.TRAIN_ON_ALL)
    version = await user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=job.dataset_version))
    assert version.template.train_on == pb.TRAIN_ON_ALL
    page = await user.stub.PreviewRows(pb.PreviewRowsRequest(name=version.name))
    assert (page.rows[0].prompt, page.rows[0].completion) == ("", "質問: 0 番の部署は？\n回答: 総務0課です。")


async def test_what_is_needed_first(user: User) -> None:
    dataset = (await user.dataset()).name
    upload = await user.stub.CreateUpload(pb.CreateUploadRequest())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.ValidateDataset(pb.ValidateDatasetRequest(dataset=dataset, upload=upload.name))
    assert reason_of(refused.value) == "UPLOAD_NOT_FINALIZED"
    for wrong in ({"dataset": "datasets/none"}, {"upload": "uploads/none"}):
        asked = {"dataset": dataset, "upload": (await user.upload(qa(1))).name} | wrong
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await user.stub.ValidateDataset(pb.ValidateDatasetRequest(**asked))  # type: ignore[arg-type]
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.ValidateDataset(pb.ValidateDatasetRequest(dataset="datasets/../x", upload=upload.name))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_jobs_are_listed_by_data_set(user: User) -> None:
    one, other = (await user.dataset()).name, (await user.dataset()).name
    jobs = [(await user.validate(qa(2), dataset=one)).name for _ in range(2)]
    await user.validate(qa(2), dataset=other)
    found = await user.stub.ListDataJobs(pb.ListDataJobsRequest(dataset=one))
    assert [job.name for job in found.data_jobs] == jobs[::-1]
    assert len((await user.stub.ListDataJobs(pb.ListDataJobsRequest())).data_jobs) == 3


async def test_cancelling_ends_the_process(user: User) -> None:
    job = await start(user, qa(LONG))
    child = await child_of(user.service)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.report(job.name)
    assert reason_of(refused.value) == "REPORT_NOT_READY"
    cancelled = await user.stub.CancelDataJob(pb.CancelDataJobRequest(name=job.name))
    assert cancelled.state == pb.DATA_JOB_STATE_CANCELLED
    again = await user.stub.CancelDataJob(pb.CancelDataJobRequest(name=job.name))
    assert again.state == pb.DATA_JOB_STATE_CANCELLED
    await asyncio.to_thread(psutil.wait_procs, [child], 60)
    assert not child.is_running()
    done = await user.validate(qa(3))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.CancelDataJob(pb.CancelDataJobRequest(name=done.name))
    assert reason_of(refused.value) == "DATA_JOB_ENDED"


async def test_a_killed_check_is_done_again(user: User) -> None:
    job = await start(user, qa(SHORT))
    (await child_of(user.service)).kill()
    done = await user.ended(job.name)
    assert done.state == pb.DATA_JOB_STATE_SUCCEEDED
    ((attempt,),) = user.service.sql("SELECT attempt FROM data_jobs WHERE uid = %s", job.uid)
    assert attempt == 2


async def test_a_check_that_always_dies_fails(user: User) -> None:
    job = await start(user, qa(SHORT))
    for _ in range(3):
        child = await child_of(user.service)
        child.kill()
        await asyncio.to_thread(psutil.wait_procs, [child], 60)
    done = await user.ended(job.name)
    assert (done.state, done.failure.reason) == (pb.DATA_JOB_STATE_FAILED, "VALIDATION_CRASHED")


async def test_a_data_set_deleted_meanwhile(user: User) -> None:
    dataset = (await user.dataset()).name
    job = await start(user, qa(SHORT), dataset)
    await user.stub.DeleteDataset(pb.DeleteDatasetRequest(name=dataset))
    assert (await user.ended(job.name)).failure.reason == "DATASET_GONE"


async def test_an_import_that_is_cancelled_leaves_nothing(user: User) -> None:
    name = dropped(user.service, qa(SHORT))
    await asyncio.sleep(SETTLED_AFTER_S + 0.1)
    request = pb.ImportDatasetRequest(dataset="datasets/fresh", dropped_file=name, new_dataset=pb.NewDataset())
    job = await user.stub.ImportDataset(request)
    child = await child_of(user.service)
    child.suspend()  # so that it is half way for as long as we look
    cancelled = await user.stub.CancelDataJob(pb.CancelDataJobRequest(name=job.name))
    assert (cancelled.state, cancelled.dataset_version) == (pb.DATA_JOB_STATE_CANCELLED, "")
    await gone(child)
    assert (await user.ended(job.name)).state == pb.DATA_JOB_STATE_CANCELLED
    assert not (await user.stub.ListDatasets(pb.ListDatasetsRequest())).datasets
    assert user.service.sql("SELECT count(*) FROM versions WHERE tenant = %s", user.tenant) == [(0,)]
    await tidy(user.service)


@pytest.mark.parametrize("ending", ["kill", "stop"])
async def test_a_job_outlives_the_service(make_service: Callable[..., DataService], ending: str) -> None:
    service = make_service()
    service.start()
    name = dropped(service, qa(SHORT))
    async with User(service, "acme") as user:
        job = await start(user, qa(SHORT))
        child = await child_of(service)
        await asyncio.sleep(SETTLED_AFTER_S)
        fetching = await user.stub.ImportDataset(
            pb.ImportDatasetRequest(dropped_file=name, new_dataset=pb.NewDataset())
        )
    await asyncio.to_thread(service.kill if ending == "kill" else service.stop)
    await asyncio.to_thread(psutil.wait_procs, [child], 60)
    assert not child.is_running()
    await asyncio.to_thread(service.start)
    async with User(service, "acme") as user:
        for one in (job, fetching):
            done = await user.ended(one.name)
            assert (done.state, done.rows) == (pb.DATA_JOB_STATE_SUCCEEDED, SHORT)
    assert service.sql("SELECT count(*) FROM versions") == [(2,)]
    await tidy(service)


async def test_the_child_knows_no_secret(user: User) -> None:
    job = await start(user, qa(LONG))
    child = await child_of(user.service)
    environment = "\n".join(f"{name}={value}" for name, value in child.environ().items())
    assert "AIFT_DATABASE_URL" not in environment
    assert user.service.database_url not in environment
    await user.stub.CancelDataJob(pb.CancelDataJobRequest(name=job.name))


async def test_files_for_a_worker(either_user: User, tmp_path: Path) -> None:
    user = either_user
    data = qa(5000)
    job = await user.validate(data)
    async with user.as_("service") as service:
        answer = await service.stub.GetDatasetFiles(pb.GetDatasetFilesRequest(name=job.dataset_version))
    assert [file.path for file in answer.files] == ["original/data.jsonl", "rows.parquet"]
    contents = [await asyncio.to_thread(_fetch, file.url) for file in answer.files]
    assert [sha256(content) for content in contents] == [file.sha256 for file in answer.files]
    (tmp_path / "rows.parquet").write_bytes(contents[1])
    rows = await asyncio.to_thread(_parquet, tmp_path / "rows.parquet")
    lines = data.decode().splitlines()
    assert [json.loads(row["json"]) for row in rows] == [json.loads(line) for line in lines]
    assert [row["line"] for row in rows] == list(range(1, 5001))
    written = [
        json.dumps(json.loads(line), ensure_ascii=False, sort_keys=True, separators=(",", ":")) for line in lines
    ]
    assert [row["json"] for row in rows] == written


def _fetch(url: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content


def _parquet(path: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        rows: list[dict[str, object]] = file.read().to_pylist()
    return rows
