"""Versions made of versions: what comes of them, where they come from, and what cancels or kills their making."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import psutil
import pytest
from aift.data.v1 import data_pb2 as pb

from tests.integration.data.conftest import DataService, User, jsonl, qa, reason_of

LONG = 8_000
"""Rows of a preparation that a test interrupts."""
ALL = pb.Recipe(
    form=pb.ROW_FORM_MESSAGES,
    normalization=pb.NORMALIZATION_NFKC,
    redaction=pb.Redaction(emails=True, phone_numbers=True, my_numbers=True),
    filter=pb.RowFilter(min_characters=5),
    deduplication=pb.Deduplication(exact=True, near_threshold=0.95),
    split=pb.Split(validation_share=0.2, test_share=0.1, salt="1"),
)


async def version_of(user: User, data: bytes, dataset: str = "") -> str:
    job = await user.validate(data, dataset=(await user.dataset(dataset)).name)
    assert job.state == pb.DATA_JOB_STATE_SUCCEEDED, job.failure
    return job.dataset_version


async def start(user: User, source: str, recipe: pb.Recipe, dataset: str = "") -> pb.DataJob:
    request = pb.PrepareDatasetRequest(source=source, recipe=recipe, dataset=dataset, request_id=str(uuid.uuid4()))
    job = await user.stub.PrepareDataset(request)
    assert (await user.stub.PrepareDataset(request)).name == job.name
    return job


async def prepared(user: User, source: str, recipe: pb.Recipe, dataset: str = "") -> pb.DataJob:
    return await user.ended((await start(user, source, recipe, dataset)).name)


async def rows(user: User, version: str) -> list[dict[str, Any]]:
    data = b"".join([piece.data async for piece in user.stub.ReadDataset(pb.ReadDatasetRequest(name=version))])
    return [json.loads(line) for line in data.splitlines()]


async def get(user: User, version: str) -> pb.DatasetVersion:
    return await user.stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=version))


async def child_of(service: DataService) -> psutil.Process:
    """The preparing process, once there is one."""
    async with asyncio.timeout(60):
        while not (found := service.children("preparation")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found[0]


async def test_a_prepared_version(either_user: User) -> None:
    user = either_user
    pairs = [{"instruction": f"ｼﾂﾓﾝ{i}番は何ですか？", "output": f"a{i}@b.jp か 090-1234-5678"} for i in range(300)]
    source = await version_of(user, jsonl(*pairs, pairs[0], {"instruction": "は", "output": "い"}), "faq")
    job = await prepared(user, source, ALL)
    assert (job.state, job.kind) == (pb.DATA_JOB_STATE_SUCCEEDED, pb.DATA_JOB_KIND_PREPARATION), job.failure
    assert (job.dataset_version, job.source_version) == ("datasets/faq/versions/2", source)
    assert job.validation_version == "datasets/faq-validation/versions/1"
    assert job.test_version == "datasets/faq-test/versions/1"
    steps = {step.name: (step.rows_in, step.rows_out, step.changed_rows) for step in job.steps}
    assert list(steps) == [
        "conversion", "normalization", "redaction", "filter", "deduplication.exact", "deduplication.near", "split",
    ]  # fmt: skip
    assert steps["conversion"] == (302, 302, 302)
    assert steps["redaction"] == (302, 302, 301)
    assert steps["filter"] == (302, 301, 0)
    assert steps["deduplication.exact"] == (301, 300, 0)
    assert 0 < job.done_bytes == job.total_bytes

    together = []
    for name in (job.dataset_version, job.validation_version, job.test_version):
        version = await get(user, name)
        assert (version.parent, version.recipe, version.data_job) == (source, ALL, job.name)
        assert version.template.form == pb.ROW_FORM_MESSAGES
        found = await rows(user, name)
        assert version.statistics.rows == len(found) > 0
        together += found
    assert steps["split"] == (len(together), len(await rows(user, job.dataset_version)), 0)
    assert steps["deduplication.near"][1] == len(together)
    first = (
        {"role": "user", "content": "シツモン0番は何ですか?"},
        {"role": "assistant", "content": "[EMAIL] か [PHONE]"},
    )
    assert {"messages": list(first)} in together
    assert (await get(user, job.dataset_version)).filename == "data.jsonl"
    assert (await get(user, job.validation_version)).filename == "data-validation.jsonl"


async def test_rows_stay_on_their_side_when_data_are_added(user: User) -> None:
    recipe = pb.Recipe(split=pb.Split(validation_share=0.3))
    dataset = (await user.dataset("grow")).name
    sides = []
    for count in (100, 200):
        source = (await user.validate(qa(count), dataset=(await user.dataset()).name)).dataset_version
        job = await prepared(user, source, recipe, dataset)
        held_out = await rows(user, job.validation_version)
        sides.append(
            {row["text"]: True for row in held_out} | {r["text"]: False for r in await rows(user, job.dataset_version)}
        )
    assert {text: sides[1][text] for text in sides[0]} == sides[0]
    assert job.validation_version == "datasets/grow-validation/versions/2"
    template = (await get(user, job.validation_version)).template
    assert (template.prompt_marker, template.completion_marker) == ("質問: ", "\n回答: ")


async def test_what_it_was_made_of_is_not_deleted(user: User) -> None:
    source = await version_of(user, qa(30))
    other = await user.dataset("other")
    job = await prepared(user, source, pb.Recipe(normalization=pb.NORMALIZATION_NFKC), other.name)
    assert job.dataset_version == "datasets/other/versions/1"
    found = await user.stub.ListDatasetReferences(pb.ListDatasetReferencesRequest(name=source))
    assert [reference.referrer for reference in found.references] == [job.dataset_version]
    delete = pb.DeleteDatasetVersionRequest(name=source)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.DeleteDatasetVersion(delete)
    assert reason_of(refused.value) == "DATASET_REFERENCED"
    await user.stub.DeleteDatasetVersion(pb.DeleteDatasetVersionRequest(name=job.dataset_version))
    await user.stub.DeleteDatasetVersion(delete)


async def test_long_texts_for_pretraining(user: User) -> None:
    text = "吾輩は猫である。名前はまだ無い。" * 40
    source = await version_of(user, jsonl(*({"text": f"{i}。{text}"} for i in range(3))))
    job = await prepared(user, source, pb.Recipe(chunking=pb.Chunking(max_characters=100, overlap_characters=20)))
    assert job.state == pb.DATA_JOB_STATE_SUCCEEDED, job.failure
    template = (await get(user, job.dataset_version)).template
    assert (template.form, template.train_on) == (pb.ROW_FORM_TEXT, pb.TRAIN_ON_ALL)
    made = await rows(user, job.dataset_version)
    assert max(len(row["text"]) for row in made) <= 100
    assert all(row["text"].endswith("。") for row in made)
    assert (job.steps[0].rows_in, job.steps[0].rows_out, job.steps[0].changed_rows) == (3, len(made), 3)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (pb.Recipe(filter=pb.RowFilter(min_characters=10_000)), "PREPARED_NOTHING"),
        (pb.Recipe(form=pb.ROW_FORM_INSTRUCTION), "CONVERSION_IMPOSSIBLE"),
    ],
)
async def test_failures_leave_nothing(user: User, recipe: pb.Recipe, reason: str) -> None:
    turns = [{"role": role, "content": "あ"} for role in ("user", "assistant")]
    source = await version_of(user, jsonl({"messages": turns}, {"messages": turns * 2}))
    job = await prepared(user, source, recipe)
    assert (job.state, job.failure.reason) == (pb.DATA_JOB_STATE_FAILED, reason)
    assert job.failure.message.ja
    if reason == "CONVERSION_IMPOSSIBLE":
        assert "Row 2" in job.failure.message.en
    assert user.service.sql("SELECT count(*) FROM versions WHERE tenant = %s", user.tenant) == [(1,)]


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        (pb.Recipe(), "recipe"),
        (pb.Recipe(form=pb.ROW_FORM_PREFERENCE), "recipe.form"),
        (pb.Recipe(form=pb.ROW_FORM_LABELED), "recipe.form"),
        (pb.Recipe(chunking=pb.Chunking(max_characters=10), form=pb.ROW_FORM_MESSAGES), "recipe.form"),
        (pb.Recipe(filter=pb.RowFilter(drop_patterns=["("])), "recipe.filter.drop_patterns[0]"),
        (pb.Recipe(split=pb.Split(validation_share=0.6)), "recipe.split.validation_share"),
    ],
)
async def test_recipes_that_fit_no_row(user: User, recipe: pb.Recipe, field: str) -> None:
    source = await version_of(user, qa(3))
    for call in (
        user.stub.PrepareDataset(pb.PrepareDatasetRequest(source=source, recipe=recipe)),
        user.stub.PreviewPreparation(pb.PreviewPreparationRequest(name=source, recipe=recipe)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field in (refused.value.details() or "")


async def test_names_that_get_too_long(user: User) -> None:
    dataset = "a" * 55
    source = await version_of(user, qa(3), dataset)
    split = pb.Recipe(split=pb.Split(validation_share=0.1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.PrepareDataset(pb.PrepareDatasetRequest(source=source, recipe=split))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    missing = pb.PrepareDatasetRequest(source="datasets/none/versions/1", recipe=split)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.PrepareDataset(missing)
    assert reason_of(refused.value) == "NOT_FOUND"


async def test_a_preview(either_user: User) -> None:
    user = either_user
    texts = ["ｶﾞ", "そのまま", "03-1234-5678", "消す", "そのまま"]
    source = await version_of(user, jsonl(*({"text": text} for text in texts)))
    recipe = pb.Recipe(
        normalization=pb.NORMALIZATION_HALFWIDTH_KANA,
        redaction=pb.Redaction(phone_numbers=True),
        filter=pb.RowFilter(drop_patterns=["消"]),
        deduplication=pb.Deduplication(exact=True, near_threshold=0.9),
    )
    found = await user.stub.PreviewPreparation(pb.PreviewPreparationRequest(name=source, recipe=recipe))
    assert (found.rows, found.unchanged_rows, found.dropped_rows) == (5, 1, 2)
    seen = [
        (change.before.index, change.before.completion, change.after.completion if change.HasField("after") else None)
        for change in found.changes
    ]
    assert seen == [(0, "ｶﾞ", "ガ"), (2, "03-1234-5678", "[PHONE]"), (3, "消す", None), (4, "そのまま", None)]
    part = await user.stub.PreviewPreparation(
        pb.PreviewPreparationRequest(name=source, recipe=recipe, offset=2, limit=1)
    )
    assert (part.rows, len(part.changes)) == (1, 1)
    past = await user.stub.PreviewPreparation(pb.PreviewPreparationRequest(name=source, recipe=recipe, offset=9))
    assert (past.rows, len(past.changes)) == (0, 0)
    assert user.service.process is not None
    assert psutil.Process(user.service.process.pid).memory_info().rss < 150 << 20


async def test_a_preview_names_a_slow_pattern(user: User) -> None:
    source = await version_of(user, jsonl({"text": "a" * 300 + "b"}, {"text": "b"}))
    recipe = pb.Recipe(filter=pb.RowFilter(drop_patterns=["x", "(a|aa)+$"]))
    found = await user.stub.PreviewPreparation(pb.PreviewPreparationRequest(name=source, recipe=recipe))
    assert (found.rows, found.dropped_rows, found.unchanged_rows) == (2, 1, 1)
    (finding,) = found.findings
    assert (finding.reason, finding.severity, finding.examples[0].line) == ("SLOW_PATTERN", pb.SEVERITY_WARNING, 1)
    assert "(a|aa)+$ (recipe.filter.drop_patterns[1], --drop-pattern)" in finding.message.en
    assert "(a|aa)+$（recipe.filter.drop_patterns[1]、--drop-pattern）" in finding.message.ja


async def test_a_preview_of_a_conversion_that_cannot_be(user: User) -> None:
    turns = [{"role": role, "content": "あ"} for role in ("user", "assistant")]
    source = await version_of(user, jsonl({"messages": turns}, {"messages": turns * 2}))
    request = pb.PreviewPreparationRequest(name=source, recipe=pb.Recipe(form=pb.ROW_FORM_INSTRUCTION))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.PreviewPreparation(request)
    assert reason_of(refused.value) == "CONVERSION_IMPOSSIBLE"


async def test_cancelling_ends_the_process(user: User) -> None:
    source = await version_of(user, qa(LONG))
    job = await start(user, source, ALL)
    child = await child_of(user.service)
    running = await user.stub.GetDataJob(pb.GetDataJobRequest(name=job.name))
    assert (running.state, running.total_bytes) == (pb.DATA_JOB_STATE_RUNNING, (await get(user, source)).size_bytes)
    cancelled = await user.stub.CancelDataJob(pb.CancelDataJobRequest(name=job.name))
    assert cancelled.state == pb.DATA_JOB_STATE_CANCELLED
    await asyncio.to_thread(psutil.wait_procs, [child], 60)
    assert not child.is_running()
    assert user.service.sql("SELECT count(*) FROM versions WHERE tenant = %s", user.tenant) == [(1,)]
    assert user.service.sql("SELECT count(*) FROM datasets WHERE tenant = %s", user.tenant) == [(1,)]


@pytest.mark.slow
async def test_a_preparation_outlives_the_service(make_service: Callable[..., DataService]) -> None:
    service = make_service()
    service.start()
    async with User(service, "acme") as user:
        source = await version_of(user, qa(LONG), "faq")
        job = await start(user, source, ALL)
        child = await child_of(service)
    await asyncio.to_thread(service.kill)
    await asyncio.to_thread(psutil.wait_procs, [child], 60)
    assert not child.is_running()
    assert service.sql("SELECT count(*) FROM versions") == [(1,)]
    await asyncio.to_thread(service.start)
    async with User(service, "acme") as user:
        done = await user.ended(job.name, within_s=120)
        assert done.state == pb.DATA_JOB_STATE_SUCCEEDED, done.failure
    assert service.sql("SELECT dataset_id, count(*) FROM versions GROUP BY 1 ORDER BY 1") == [
        ("faq", 2), ("faq-test", 1), ("faq-validation", 1),
    ]  # fmt: skip
    assert list((service.folder / "data" / "jobs").iterdir()) == []
