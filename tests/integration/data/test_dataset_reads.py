"""Reads that share queries: right answers, errors for everyone, nobody left waiting."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from aift.data.v1 import data_pb2 as pb

from services.core.db import Database
from services.core.errors import NotFound, Unavailable
from services.data_service.dataset_reads import DatasetReads
from tests.integration.data.conftest import DataService, User


async def test_many_at_once_get_what_they_asked_for(directory_service: DataService) -> None:
    tenants = [uuid.uuid4().hex[:8] for _ in range(3)]
    for tenant in tenants:
        async with User(directory_service, tenant) as user:
            await user.stub.CreateDataset(
                pb.CreateDatasetRequest(dataset_id="same", dataset=pb.Dataset(display_name=tenant))
            )
    database = Database(directory_service.database_url, "data")
    queries = 0
    fetch_all = database.fetch_all

    async def counted(*args: Any) -> list[dict[str, Any]]:
        nonlocal queries
        queries += 1
        return await fetch_all(*args)

    database.fetch_all = counted  # type: ignore[method-assign]
    reads = DatasetReads(database)
    asked = [(tenants[number % 3], "same" if number % 2 else "none") for number in range(300)]
    answers = await asyncio.gather(*(reads.get(*key) for key in asked), return_exceptions=True)
    for (tenant, id_), answer in zip(asked, answers, strict=True):
        if id_ == "none":
            assert isinstance(answer, NotFound)
        else:
            assert not isinstance(answer, BaseException)
            assert (answer.tenant, answer.display_name) == (tenant, tenant)
    assert queries < 10
    await database.close()


async def test_a_lost_database_is_told_to_each() -> None:
    database = Database("postgresql://127.0.0.1:1/none", "data")

    async def lost(*_: Any) -> list[dict[str, Any]]:
        await asyncio.sleep(0.01)
        raise Unavailable("database")

    database.fetch_all = lost  # type: ignore[method-assign]
    reads = DatasetReads(database)
    gone = asyncio.create_task(reads.get("a", "b"))
    waiting = [asyncio.create_task(reads.get("a", str(number))) for number in range(150)]
    await asyncio.sleep(0)
    gone.cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    with pytest.raises(asyncio.CancelledError):
        await gone
