"""What an attempt reads, with addresses: asked of the services that keep it, on behalf of the job's owner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from aift.common.v1 import blob_pb2
from aift.data.v1 import data_pb2, data_pb2_grpc
from aift.registry.v1 import registry_pb2, registry_pb2_grpc
from aift.training.v1 import worker_pb2

from services.core import context
from services.core.db import Database
from services.core.objects import ObjectStore
from services.training_service.domain import Job
from services.training_service.errors import InputsGone
from services.training_service.store import checkpoints

# A day: an agent that is slow to fetch asks for fresh ones.
_URL_SECONDS = 24 * 3600.0


class InputSource:
    """Finds the inputs of attempts."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        registry: registry_pb2_grpc.RegistryServiceAsyncStub,
        data: data_pb2_grpc.DataServiceAsyncStub,
    ) -> None:
        self._database = database
        self._store = store
        self._registry = registry
        self._data = data

    async def of(self, job: Job) -> worker_pb2.Inputs:
        """Everything that the job's next or current attempt reads.

        Raises InputsGone where it is not what the job was accepted with, and AioRpcError as the services say it.
        """
        with context.acting(job.tenant, job.principal):
            inputs = worker_pb2.Inputs(
                base_model=await self._base_model(job),
                dataset=await self._rows(job.spec.dataset_version, job.spec.dataset_digest),
                template_json=job.template_json,
            )
            if job.spec.eval_dataset_version:
                rows = await self._rows(job.spec.eval_dataset_version, job.spec.eval_dataset_digest)
                inputs.eval_dataset.CopyFrom(rows)
            if job.spec.start_from:
                await self._add_start(job, inputs)
        await self._add_checkpoint(job, inputs)
        return inputs

    async def _base_model(self, job: Job) -> worker_pb2.InputFiles:
        found = await self._registry.GetModelFiles(registry_pb2.GetModelFilesRequest(name=job.spec.base_model))
        if found.digest != job.spec.base_model_digest:
            raise InputsGone(job.spec.base_model)
        return worker_pb2.InputFiles(name=found.name, digest=found.digest, files=found.files)

    async def _add_start(self, job: Job, inputs: worker_pb2.Inputs) -> None:
        found = await self._registry.GetModelFiles(registry_pb2.GetModelFilesRequest(name=job.spec.start_from))
        if found.digest != job.spec.start_from_digest:
            raise InputsGone(job.spec.start_from)
        inputs.start_from.CopyFrom(worker_pb2.InputFiles(name=found.name, digest=found.digest, files=found.files))
        inputs.start_from_adapter = job.spec.hyperparameters.method != "full"

    async def _rows(self, name: str, sha256: str) -> worker_pb2.InputFiles:
        found = await self._data.GetDatasetFiles(data_pb2.GetDatasetFilesRequest(name=name))
        if all(file.sha256 != sha256 for file in found.files):
            raise InputsGone(name)
        return worker_pb2.InputFiles(name=name, digest=digest_of(found.files), files=found.files)

    async def _add_checkpoint(self, job: Job, inputs: worker_pb2.Inputs) -> None:
        async with self._database.transaction() as tx:
            newest = await checkpoints.newest(tx, job.tenant, job.id)
        if newest is None:
            return
        files = [
            blob_pb2.FileUrl(
                path=file.path,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                url=await self._store.read_url(file.key, _URL_SECONDS),
            )
            for file in newest.files
        ]
        inputs.checkpoint.CopyFrom(worker_pb2.InputFiles(name=newest.name, digest=digest_of(files), files=files))
        inputs.checkpoint_step = newest.step


def digest_of(files: Iterable[blob_pb2.FileUrl]) -> str:
    """SHA-256 over the sorted list of paths and digests."""
    lines = sorted(f"{file.path}\0{file.sha256}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
