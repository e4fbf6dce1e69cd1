"""The hottest read: data sets by name, those that are asked for at the same time in one query."""

from __future__ import annotations

import asyncio

from services.core.db import Database
from services.core.errors import NotFound
from services.data_service.domain import Dataset

_QUERY = """
    SELECT d.tenant, d.id, uid, etag, display_name, description, create_time, update_time,
           coalesce((SELECT max(number) FROM versions v WHERE v.tenant = d.tenant AND v.dataset_id = d.id
                     AND v.delete_time IS NULL), 0) AS latest_version
    FROM unnest(%s::text[], %s::text[]) AS asked (tenant, id) JOIN datasets d USING (tenant, id)
    WHERE delete_time IS NULL
"""
_MOST = 100
_AT_ONCE = 2

_Key = tuple[str, str]


class DatasetReads:
    """A read that finds no query under way is sent at once; while some are, reads wait together for the next one.

    Every read sees what was committed before it was asked for: none joins a query that was sent already.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[_Key, asyncio.Future[Dataset]]] = []
        self._queries: set[asyncio.Task[None]] = set()

    async def get(self, tenant: str, id_: str) -> Dataset:
        """One data set. Raises NotFound."""
        answer: asyncio.Future[Dataset] = asyncio.get_running_loop().create_future()
        self._waiting.append(((tenant, id_), answer))
        # A query that is done stays in the set until its callback runs; counted, it would leave this read to nobody.
        if sum(not query.done() for query in self._queries) < _AT_ONCE:
            query = asyncio.create_task(self._answer())
            self._queries.add(query)
            query.add_done_callback(self._queries.discard)
        return await answer

    async def _answer(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                found = await self._read({key for key, _ in asked})
            except Exception as error:  # noqa: BLE001 - raised by each of those who wait
                for _, answer in asked:
                    _settle(answer, error)
            else:
                for key, answer in asked:
                    _settle(answer, found.get(key) or NotFound(f"datasets/{key[1]}"))

    async def _read(self, keys: set[_Key]) -> dict[_Key, Dataset]:
        ordered = sorted(keys)
        columns = ([tenant for tenant, _ in ordered], [id_ for _, id_ in ordered])
        rows = await self._database.fetch_all(_QUERY, columns)
        return {(row["tenant"], row["id"]): Dataset(**row) for row in rows}


def _settle(answer: asyncio.Future[Dataset], result: Dataset | Exception) -> None:
    if answer.done():  # nobody waits any more
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
