"""Tells the data service which versions jobs depend on, until it has answered."""

from __future__ import annotations

import logging

import grpc
from aift.data.v1 import data_pb2, data_pb2_grpc

from services.core import context
from services.core.db import Database
from services.training_service.store import references
from services.training_service.store.references import ReferenceLetter

log = logging.getLogger(__name__)

_LONGEST_DELAY_S = 60.0
# The same call will be answered in the same way for ever; a version that is gone has no references.
_REFUSALS = frozenset(
    {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
)


class DatasetReferences:
    """Delivers letters. Several may run: each letter is one's for a minute, and the data service knows repeats."""

    def __init__(self, database: Database, data: data_pb2_grpc.DataServiceAsyncStub) -> None:
        self._database = database
        self._data = data

    async def deliver_one(self) -> bool:
        """Delivers the next letter that is due; False when there is none."""
        async with self._database.transaction() as tx:
            letter = await references.take(tx)
        if letter is None:
            return False
        try:
            with context.acting(letter.tenant, letter.principal):
                await self._tell(letter)
        except grpc.aio.AioRpcError as error:
            await self._refused(letter, error)
        else:
            await self._close(letter)
        return True

    async def _tell(self, letter: ReferenceLetter) -> None:
        referrer = f"trainingJobs/{letter.job_id}"
        if letter.held:
            await self._data.AddDatasetReference(
                data_pb2.AddDatasetReferenceRequest(dataset_version=letter.dataset_version, referrer=referrer)
            )
        else:
            await self._data.RemoveDatasetReference(
                data_pb2.RemoveDatasetReferenceRequest(dataset_version=letter.dataset_version, referrer=referrer)
            )

    async def _refused(self, letter: ReferenceLetter, error: grpc.aio.AioRpcError) -> None:
        log.warning(
            "the data service did not take a reference: %s: %s",
            error.code(),
            error.details(),
            extra={"job": letter.job_id, "tries": letter.tries},
        )
        if error.code() in _REFUSALS:
            await self._close(letter)
            return
        async with self._database.transaction() as tx:
            delay = min(2.0 ** min(letter.tries, 10) / 4, _LONGEST_DELAY_S)
            await references.put_off(tx, letter, seconds=delay)

    async def _close(self, letter: ReferenceLetter) -> None:
        async with self._database.transaction() as tx:
            await references.remove(tx, letter)
