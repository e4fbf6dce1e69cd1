"""Tokens of all rows of a version, counted by a child process."""

from __future__ import annotations

import asyncio
import json

import grpc

from services.core import context
from services.core.errors import ContentMissing, NotFound, Unavailable
from services.data_service.data_job import DataJob, JobPhase
from services.data_service.domain import ROWS_PATH, TokenStatistics, Version, version_of
from services.data_service.errors import DatasetGone
from services.data_service.supervision.count_request import RESULT_FILE, CountRequest, CountResult
from services.data_service.supervision_errors import BaseModelGone, refusal
from services.data_service.tokenizer_files import TokenizerFiles, TokenizerFolder
from services.data_service.version_store import VersionStore
from services.data_service.workspace import Workspace
from services.text.template import for_version

_MODULE = "services.data_service.supervision.counting"
_GONE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)


class TokenCount:
    """Counts with the base model that the job names."""

    def __init__(self, versions: VersionStore, tokenizers: TokenizerFiles) -> None:
        self._versions = versions
        self._tokenizers = tokenizers

    async def run(self, job: DataJob, space: Workspace) -> TokenStatistics:
        """The lengths.

        Raises:
            DatasetGone, BaseModelGone: one of them was deleted meanwhile.
            DomainError: of `supervision_errors`, when the rows cannot be rendered.
            ChildCrashed, DiskFull, ContentMissing, Unavailable: see Workspace.
        """
        version, tokenizer = await self._version(job), await self._tokenizer(job)
        rows = version.file(ROWS_PATH)
        if rows is None:
            raise ContentMissing(f"{version.name}: {ROWS_PATH}")
        space.enter(JobPhase.COUNTING)
        request = CountRequest(
            rows=str(await space.file(rows.key, ROWS_PATH)),
            tokenizer=str(tokenizer.path),
            template=template_json(version),
            folder=str(space.folder),
        )
        await space.run(_MODULE, request.to_json())
        found = json.loads(await asyncio.to_thread((space.folder / RESULT_FILE).read_bytes))
        result = CountResult.from_json(found)
        if result.refused is not None:
            raise refusal(result.refused, tokenizer.base_model)
        if result.statistics is None:
            raise AssertionError("a result has either statistics or a refusal")
        return result.statistics

    async def _version(self, job: DataJob) -> Version:
        try:
            return await self._versions.get(job.tenant, *version_of(job.spec.source_version))
        except NotFound:
            raise DatasetGone(job.spec.source_version) from None

    async def _tokenizer(self, job: DataJob) -> TokenizerFolder:
        with context.acting(job.tenant, "data"):
            try:
                return await self._tokenizers.of(job.spec.base_model)
            except grpc.aio.AioRpcError as error:
                if error.code() in _GONE:
                    raise BaseModelGone(job.spec.base_model) from error
                raise Unavailable("registry") from error


def template_json(version: Version) -> str:
    """The version's template as the trainer gets it."""
    template = version.template
    return for_version(template.form, template.train_on, template.prompt_marker, template.completion_marker).to_json()
