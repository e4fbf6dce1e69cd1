"""Reads of data sets that come at the same moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from services.core.db import Database
from services.core.errors import NotFound
from services.data_service.dataset_reads import DatasetReads

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Gate:
    """Stands for the database: it knows every id but `missing`, and answers all queries at once when opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.asked: asyncio.Queue[int] = asyncio.Queue()

    async def fetch_all(self, _: str, params: tuple[list[str], list[str]]) -> list[dict[str, Any]]:
        self.asked.put_nowait(len(params[0]))
        await self.opened.wait()
        return [
            {
                "tenant": tenant,
                "id": id_,
                "uid": id_,
                "etag": "e",
                "display_name": "",
                "description": "",
                "create_time": NOW,
                "update_time": NOW,
                "latest_version": 0,
            }
            for tenant, id_ in zip(*params, strict=True)
            if id_ != "missing"
        ]


def reads_of(gate: Gate) -> DatasetReads:
    return DatasetReads(cast(Database, gate))


async def test_a_read_asked_for_just_as_the_queries_end_is_answered() -> None:
    gate = Gate()
    reads = reads_of(gate)

    async def read(id_: str, times: int) -> None:
        for _ in range(times):
            assert (await reads.get("acme", id_)).id == id_

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(read("a", 2))
        await gate.asked.get()
        group.create_task(read("b", 1))
        await gate.asked.get()
        gate.opened.set()  # both queries end in the same turn of the loop, and the first reader asks again at once


async def test_reads_that_wait_share_a_query() -> None:
    gate = Gate()
    reads = reads_of(gate)
    asked = [asyncio.create_task(reads.get("acme", f"d{n % 3}")) for n in range(30)]
    await gate.asked.get()
    gate.opened.set()
    async with asyncio.timeout(60):
        assert {found.id for found in await asyncio.gather(*asked)} == {"d0", "d1", "d2"}
    assert gate.asked.qsize() < 29


async def test_one_that_is_not_there_fails_alone() -> None:
    gate = Gate()
    gate.opened.set()
    reads = reads_of(gate)
    async with asyncio.timeout(60):
        there, missing = await asyncio.gather(
            reads.get("acme", "there"), reads.get("acme", "missing"), return_exceptions=True
        )
    assert not isinstance(there, BaseException)
    assert there.id == "there"
    assert isinstance(missing, NotFound)
