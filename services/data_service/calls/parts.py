"""What the calls work with, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc.aio
from aift.data.v1 import data_pb2 as pb
from google.protobuf.message import Message

from services.core import idempotency, names
from services.core.context import current
from services.core.errors import InvalidArgument
from services.core.objects import ObjectStore
from services.data_service import conversion
from services.data_service.data_job import JobKind, JobSpec
from services.data_service.dataset_store import DatasetStore
from services.data_service.domain import Version
from services.data_service.job_runner import JobRunner
from services.data_service.job_store import JobStore
from services.data_service.preparation_previews import PreparationPreviews
from services.data_service.reference_store import ReferenceStore
from services.data_service.renderer import Renderer
from services.data_service.row_pages import RowPages
from services.data_service.sources.drop_directory import DropDirectory
from services.data_service.sources.s3_source import S3Source
from services.data_service.sources.url_source import UrlSource
from services.data_service.tokenizer_files import TokenizerFiles
from services.data_service.uploads import Uploads
from services.data_service.version_differences import VersionDifferences
from services.data_service.version_store import VersionStore

DATASET = "datasets/{dataset}"
VERSION = "datasets/{dataset}/versions/{n}"
UPLOAD = "uploads/{upload}"
JOB = "dataJobs/{job}"
BASE_MODEL = "baseModels/{base_model}"

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The service's parts, as `app` wires them."""

    uploads: Uploads
    datasets: DatasetStore
    versions: VersionStore
    references: ReferenceStore
    jobs: JobStore
    runner: JobRunner
    objects: ObjectStore
    rows: RowPages
    previews: PreparationPreviews
    tokenizers: TokenizerFiles
    renderer: Renderer
    drop: DropDirectory
    urls: UrlSource
    buckets: S3Source
    differences: VersionDifferences


class Calls:
    """Some of the RPCs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def _version(self, name: str, *, newest: bool = False) -> Version:
        """The version of a name; where `newest` is allowed, also that of a data set."""
        if newest and names.matches(DATASET, name):
            return await self._parts.versions.get(current().tenant, names.parse(DATASET, name)["dataset"], None)
        ids = names.parse(VERSION, name)
        return await self._parts.versions.get(current().tenant, ids["dataset"], int(ids["n"]))

    async def _start(
        self,
        kind: JobKind,
        dataset_id: str,
        spec: JobSpec,
        request: Message,
        *,
        upload_id: str = "",
        total_bytes: int = 0,
    ) -> pb.DataJob:
        """A new data job; somebody is told to work at it."""
        key = idempotency.key_of(request)
        asked = await self._parts.jobs.create(
            current().tenant, kind, dataset_id, spec, key, upload_id=upload_id, total_bytes=total_bytes
        )
        self._parts.runner.wake()
        return conversion.job(asked)


def check_bounds(field: str, value: int, most: int | None = None) -> None:
    """Raises InvalidArgument for a number below 0 or above `most`."""
    if value < 0 or (most is not None and value > most):
        bounds, bounds_ja = ("0 or more", "0 以上") if most is None else (f"0 to {most}", f"0〜{most}")
        en, ja = f"Must be {bounds}, not {value}.", f"{bounds_ja} で指定してください（指定値: {value}）。"
        raise InvalidArgument.field(field, "OUT_OF_BOUNDS", en, ja)
