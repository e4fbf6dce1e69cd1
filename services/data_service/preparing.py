"""Preparations: versions made of a version, by child processes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from services.core.errors import ContentMissing, NotFound
from services.data_service.checking import Made, NewVersion, check
from services.data_service.data_job import DataJob, JobPhase, JobSpec
from services.data_service.domain import (
    ROWS_PATH,
    FileFormat,
    ReadOptions,
    RowForm,
    Template,
    ToolTurns,
    TrainOn,
    Version,
    version_of,
)
from services.data_service.errors import PREPARATION_FAILURES, DatasetGone
from services.data_service.preparation.request import ROW_FILES, PreparationRequest, PreparationResult
from services.data_service.preparation.splitting import Side
from services.data_service.recipe import Recipe
from services.data_service.version_store import VersionStore
from services.data_service.workspace import Workspace

_MODULE = "services.data_service.preparation"
_SUFFIXES = {".gz", ".zst", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".ndjson"}
_HELD_OUT = {Side.VALIDATION: "-validation", Side.TEST: "-test"}


def held_out_dataset(dataset_id: str, side: Side) -> str:
    """The data set that gets the rows of a side."""
    return dataset_id + _HELD_OUT.get(side, "")


class Preparation:
    """Makes a version of another, and versions of its held-out rows."""

    def __init__(self, versions: VersionStore) -> None:
        self._versions = versions

    async def run(self, job: DataJob, space: Workspace) -> Made:
        """The versions.

        Raises:
            Refused: what came of it has errors, such as rows that became too long.
            ConversionImpossible, PreparedNothing, TooManyRows: the recipe does not fit the rows.
            DatasetGone: the source was deleted meanwhile.
            ChildCrashed, DiskFull, ContentMissing, Unavailable: see Workspace.
        """
        source = await self._source(job)
        recipe = Recipe.from_json(job.spec.recipe)
        folder = space.folder / "prepared"
        result = await _prepared(space, source, recipe, folder, await _rows(space, source))
        made: dict[Side, NewVersion] = {}
        for side, name in ROW_FILES.items():
            if result.rows[side.name]:
                made[side] = await _version(job, space, source, recipe, side, folder / name)
        kept = made[Side.KEPT]
        validation, test = (_read_alike(made.get(side), kept) for side in (Side.VALIDATION, Side.TEST))
        return Made(version=kept, validation=validation, test=test, steps=result.steps)

    async def _source(self, job: DataJob) -> Version:
        try:
            return await self._versions.get(job.tenant, *version_of(job.spec.source_version))
        except NotFound:
            raise DatasetGone(job.spec.source_version) from None


async def _rows(space: Workspace, source: Version) -> Path:
    rows = source.file(ROWS_PATH)
    if rows is None:
        raise ContentMissing(f"{source.name}: {ROWS_PATH}")
    space.enter(JobPhase.FETCHING)
    return await space.file(rows.key, "source.parquet")


async def _prepared(space: Workspace, source: Version, recipe: Recipe, folder: Path, rows: Path) -> PreparationResult:
    space.enter(JobPhase.PREPARING)
    request = PreparationRequest(
        input_file=str(rows),
        output_dir=str(folder),
        template=source.template,
        recipe=recipe,
        total_bytes=source.size_bytes,
    )
    told = space.folder / "preparation.json"
    await asyncio.to_thread(folder.mkdir)
    await asyncio.to_thread(told.write_text, request.to_json())
    await space.run(_MODULE, str(told))
    result = await asyncio.to_thread(PreparationResult.read, folder)
    if result.failure:
        raise PREPARATION_FAILURES[result.failure](**result.params)
    return result


async def _version(
    job: DataJob, space: Workspace, source: Version, recipe: Recipe, side: Side, file: Path
) -> NewVersion:
    spec = reading(source.template, recipe)
    filename = f"{_stem(source.filename)}{_HELD_OUT.get(side, '')}.jsonl"
    report, files = await check(space, file, filename, spec, f"checked-{side.name.lower()}")
    return NewVersion(
        dataset_id=held_out_dataset(job.dataset_id, side),
        filename=filename,
        original=await space.store(file),
        report=report,
        files=files,
        parent=source.name,
        recipe=job.spec.recipe,
    )


def reading(template: Template, recipe: Recipe) -> JobSpec:
    """How the rows that a recipe makes of a template's are to be read."""
    form = template.form if recipe.form is RowForm.DETECT else recipe.form
    # Pieces of texts have no prompt; and what was wanted for whole texts holds for them as long as they are texts.
    plain = template.form is RowForm.TEXT and not template.prompt_marker
    whole = recipe.chunking is not None or (
        template.train_on is TrainOn.ALL and not (plain and form is not RowForm.TEXT)
    )
    return JobSpec(
        form=form,
        train_on=TrainOn.ALL if whole else TrainOn.AUTO,
        read=ReadOptions(format=FileFormat.JSONL, tool_turns=ToolTurns.KEEP),
    )


def _read_alike(version: NewVersion | None, kept: NewVersion) -> NewVersion | None:
    """Held-out rows are few: what most of all rows are decides how they are read."""
    if version is None:
        return None
    decided = kept.report.template
    evidence_en = f"as the rows that were not held out; {decided.evidence_en}"
    template = replace(decided, evidence_en=evidence_en, evidence_ja=f"取り分けていない行と同じ。{decided.evidence_ja}")
    return replace(version, report=replace(version.report, template=template))


def _stem(filename: str) -> str:
    path = Path(filename or "data")
    while path.suffix.lower() in _SUFFIXES and path.stem:
        path = Path(path.stem)
    return path.name[:200]
