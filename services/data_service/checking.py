"""A file checked by a child process, and what becomes of it: the file set of a version, or a report that refuses it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.core.blobs import Blobs, StoredBlob
from services.core.errors import ContentMissing
from services.data_service.data_job import DataJob, JobPhase, JobSpec, PreparationStep
from services.data_service.domain import CHECKED_PATHS
from services.data_service.report import Report
from services.data_service.validation.request import REPORT_FILE, ValidationRequest
from services.data_service.workspace import Workspace

_MODULE = "services.data_service.validation"


class Refused(Exception):
    """The file has errors; the report tells them."""

    def __init__(self, report: Report) -> None:
        super().__init__("the data are not valid")
        self.report = report


@dataclass(frozen=True, kw_only=True)
class NewVersion:
    """A version that may be made of a checked file."""

    dataset_id: str
    filename: str
    original: StoredBlob
    report: Report
    # What the check wrote, by path in the version.
    files: dict[str, StoredBlob]
    parent: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a job made: its version, held-out rows where there are some, and what each step did."""

    version: NewVersion
    validation: NewVersion | None = None
    test: NewVersion | None = None
    steps: tuple[PreparationStep, ...] = ()


async def check(
    space: Workspace, file: Path, filename: str, spec: JobSpec, folder: str
) -> tuple[Report, dict[str, StoredBlob]]:
    """Checks a local file or folder; the results are written into `folder` of the workspace and stored.

    Raises:
        Refused: it has errors.
        ChildCrashed, DiskFull: see Workspace.run.
    """
    space.enter(JobPhase.CHECKING)
    target = space.folder / folder
    await asyncio.to_thread(target.mkdir)
    request = ValidationRequest(
        input_file=str(file),
        filename=filename,
        output_dir=str(target),
        form=spec.form,
        train_on=spec.train_on,
        read=spec.read,
    )
    await space.run(_MODULE, request.to_json())
    report = Report.from_json(json.loads(await asyncio.to_thread((target / REPORT_FILE).read_text)))
    if not report.valid:
        raise Refused(report)
    paths = [path for path in CHECKED_PATHS if (target / path).is_file()]
    return report, {path: await space.store(target / path) for path in paths}


class Validation:
    """Checks an uploaded file."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def run(self, job: DataJob, space: Workspace) -> Made:
        """The version of the upload. Raises what `check` does, and ContentMissing."""
        original = await self._blobs.find(job.sha256)
        if original is None:
            raise ContentMissing(job.filename)
        file = await space.file(original.key, "input")
        report, files = await check(space, file, job.filename, job.spec, "checked")
        version = NewVersion(
            dataset_id=job.dataset_id, filename=job.filename, original=original, report=report, files=files
        )
        return Made(version=version)
