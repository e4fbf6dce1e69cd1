"""Tells the registry of results until it has answered; only its answer makes a job SUCCEEDED."""

from __future__ import annotations

import logging

import grpc
from aift.registry.v1 import registry_pb2_grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import context
from services.core.db import Database
from services.core.relay import reason_of
from services.training_service.domain import Failure, JobState
from services.training_service.store import files, outbox
from services.training_service.store.jobs import Jobs

log = logging.getLogger(__name__)

_LONGEST_DELAY_S = 60.0
# The same call will be answered in the same way for ever.
_REFUSALS = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


class Publisher:
    """Empties the outbox. Several may run: each letter is one's until it is done, and the registry knows repeats."""

    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        registry: registry_pb2_grpc.RegistryServiceAsyncStub,
        *,
        leftovers_after_s: float,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._registry = registry
        self._leftovers_after_s = leftovers_after_s

    async def deliver_one(self) -> bool:
        """Delivers the next letter that is due; False when there is none."""
        async with self._database.transaction() as tx:
            letter = await outbox.take(tx)
            if letter is not None:
                await self._deliver(tx, letter)
        return letter is not None

    async def _deliver(self, tx: AsyncConnection, letter: outbox.Letter) -> None:
        """Asks the registry while the transaction holds the letter: if we die, the next publisher has it at once."""
        job = await self._jobs.get(letter.tenant, letter.job_id)
        try:
            with context.acting(letter.tenant, job.principal):
                version = await self._registry.CreateModelVersion(letter.request)
        except grpc.aio.AioRpcError as error:
            await self._refused(tx, letter, error)
        else:
            await self._close(tx, letter, JobState.SUCCEEDED, model_version=version.name)

    async def _refused(self, tx: AsyncConnection, letter: outbox.Letter, error: grpc.aio.AioRpcError) -> None:
        log.warning(
            "the registry did not take a result over: %s: %s",
            error.code(),
            error.details(),
            extra={"job": letter.job_id, "tries": letter.tries},
        )
        if error.code() in _REFUSALS:
            await self._close(tx, letter, JobState.FAILED, failure=_failure(error))
        else:
            await outbox.put_off(tx, letter, seconds=min(2.0 ** min(letter.tries, 10) / 4, _LONGEST_DELAY_S))

    async def _close(
        self,
        tx: AsyncConnection,
        letter: outbox.Letter,
        state: JobState,
        *,
        model_version: str = "",
        failure: Failure | None = None,
    ) -> None:
        job = await self._jobs.lock(tx, letter.tenant, letter.job_id)
        if job.state is JobState.PUBLISHING:
            await self._jobs.move(tx, job, state, model_version=model_version, failure=failure)
            await files.drop_result(tx, job, after_s=self._leftovers_after_s)
        await outbox.remove(tx, letter)


def _failure(error: grpc.aio.AioRpcError) -> Failure:
    detail = error.details() or ""
    return Failure(
        reason=reason_of(error) or "REGISTRATION_REFUSED",
        en=f"The registry refused the result: {detail}",
        ja=f"レジストリが結果の登録を拒否しました: {detail}",
    )
