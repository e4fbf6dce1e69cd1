"""Tokens of a version counted by the running service with the registry's files."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from aift.data.v1 import data_pb2 as pb

from tests.conftest import find_free_port
from tests.integration.data.conftest import DataService, User, jsonl, qa, reason_of
from tests.integration.data.registry_peer import READY, RegistryPeer, served

TINY = Path(__file__).resolve().parents[3] / "samples" / "models" / "tiny-ja"


@pytest.fixture(scope="module")
def serving(make_service: Callable[..., DataService]) -> tuple[DataService, int]:
    """A data service that knows a registry's port."""
    port = find_free_port()
    service = make_service(AIFT_REGISTRY_ADDRESS=f"127.0.0.1:{port}")
    service.start()
    return service, port


@pytest.fixture
async def user(serving: tuple[DataService, int]) -> AsyncIterator[User]:
    """An editor beside a registry with one model."""
    service, port = serving
    server = await served(RegistryPeer(tiny_ja=TINY), port)
    async with User(service, uuid.uuid4().hex[:12]) as someone:
        yield someone
    await server.stop(0)


async def counted(user: User, name: str, **options: Any) -> pb.DataJob:
    request = pb.CountDatasetTokensRequest(name=name, **{"base_model": READY, **options})
    return await user.ended((await user.stub.CountDatasetTokens(request)).name)


async def test_lengths_are_those_of_the_preview(user: User) -> None:
    version = (await user.validate(qa(40))).dataset_version
    job = await counted(user, version)
    assert job.state == pb.DATA_JOB_STATE_SUCCEEDED, job
    assert job.dataset_version == version
    assert (job.kind, job.rows) == (pb.DATA_JOB_KIND_TOKEN_COUNT, 40)
    found = await user.stub.GetTokenStatistics(pb.GetTokenStatisticsRequest(name=version, base_model=READY))
    seen = await user.stub.PreviewSupervision(pb.PreviewSupervisionRequest(name=version, base_model=READY, limit=40))
    lengths = sorted(len(row.tokens) for row in seen.rows)
    assert (found.rows, found.tokens, found.trained_tokens) == (40, seen.tokens, seen.trained_tokens)
    assert (found.min_tokens, found.median_tokens, found.max_tokens) == (lengths[0], lengths[19], lengths[-1])
    assert found.p95_tokens == lengths[37]
    assert sum(found.histogram_counts) == 40
    assert len(found.histogram_counts) == len(found.histogram_bounds)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.stub.GetValidationReport(pb.GetValidationReportRequest(name=job.name))
    assert reason_of(refused.value) == "NO_REPORT"


async def test_both_answers_of_a_preference_are_counted(user: User) -> None:
    rows = [{"prompt": f"{i}？", "chosen": "はい", "rejected": "いいえ"} for i in range(3)]
    version = (await user.validate(jsonl(*rows))).dataset_version
    assert (await counted(user, version)).state == pb.DATA_JOB_STATE_SUCCEEDED
    found = await user.stub.GetTokenStatistics(pb.GetTokenStatisticsRequest(name=version, base_model=READY))
    seen = await user.stub.PreviewSupervision(pb.PreviewSupervisionRequest(name=version, base_model=READY))
    assert (found.rows, found.tokens, found.trained_tokens) == (3, seen.tokens, seen.trained_tokens)


async def test_what_is_not_there_cannot_be_counted(user: User) -> None:
    version = (await user.validate(qa(3))).dataset_version
    for options in ({"base_model": "baseModels/unknown"}, {"name": f"{version}9"}):
        request = pb.CountDatasetTokensRequest(**{"name": version, "base_model": READY, **options})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await user.stub.CountDatasetTokens(request)
        assert reason_of(caught.value) == "NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await user.stub.GetTokenStatistics(pb.GetTokenStatisticsRequest(name=version, base_model=READY))
    assert reason_of(caught.value) == "NOT_FOUND"
