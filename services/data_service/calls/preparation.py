"""Versions made of versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aift.data.v1 import data_pb2 as pb

from services.core import names
from services.core.errors import InvalidArgument, Violation
from services.data_service import conversion, job_request, recipe_message
from services.data_service.calls.parts import DATASET, VERSION, Calls, Context, check_bounds
from services.data_service.data_job import JobKind, JobSpec
from services.data_service.domain import RowForm, Version
from services.data_service.preparation.conversion import impossible
from services.data_service.preparation.preview import Preview
from services.data_service.preparation.rows import Shape
from services.data_service.preparation.splitting import Side
from services.data_service.preparing import held_out_dataset
from services.data_service.recipe import Recipe
from services.data_service.row_pages import RowView

_DEFAULT_ROWS = 100
_MAX_ROWS = 1000
_MAX_ID = 63


class PreparationCalls(Calls):
    """Preparing, and looking at what it would do."""

    async def PrepareDataset(self, request: pb.PrepareDatasetRequest, context: Context) -> pb.DataJob:
        names.parse(VERSION, request.source, field="source")
        recipe = recipe_message.from_proto(request.recipe)
        source = await self._version(request.source)
        dataset_id = source.dataset_id
        if request.dataset:
            dataset_id = names.parse(DATASET, request.dataset, field="dataset")["dataset"]
        _check([*_misfits(source, recipe), *_long_names(dataset_id, recipe)])
        new_dataset = job_request.made_with_version(request)
        spec = JobSpec(recipe=recipe.to_json(), source_version=source.name, new_dataset=new_dataset)
        return await self._start(JobKind.PREPARATION, dataset_id, spec, request, total_bytes=source.size_bytes)

    async def PreviewPreparation(
        self, request: pb.PreviewPreparationRequest, context: Context
    ) -> pb.PreviewPreparationResponse:
        check_bounds("offset", request.offset)
        check_bounds("limit", request.limit, _MAX_ROWS)
        recipe = recipe_message.from_proto(request.recipe)
        version = await self._version(request.name, newest=True)
        _check(_misfits(version, recipe))
        rows, found = await self._parts.previews.preview(
            version, recipe, request.offset, request.limit or _DEFAULT_ROWS
        )
        return pb.PreviewPreparationResponse(
            changes=list(_changes(rows, found)),
            rows=found.rows,
            unchanged_rows=found.unchanged_rows,
            dropped_rows=found.dropped_rows,
            findings=[conversion.finding(one) for one in found.findings],
        )


def _check(violations: list[Violation]) -> None:
    if violations:
        raise InvalidArgument(violations)


def _misfits(source: Version, recipe: Recipe) -> list[Violation]:
    """What of the recipe fits no row of the source."""
    found: list[Violation] = []
    if recipe.chunking is not None and source.template.form is not RowForm.TEXT:
        form = source.template.form
        en = f"Cuts texts, and these rows are {form}. Convert them to TEXT first, or leave it out."
        ja = f"分割できるのは TEXT の行だけです（この版は {form}）。先に TEXT に変換するか、指定を外してください。"
        found.append(Violation("recipe.chunking", "NOT_TEXT", en, ja))
    shape = Shape.of(source.template)
    if recipe.chunking is not None:
        shape = Shape(RowForm.TEXT)  # a piece of a text has no prompt
    misfit = impossible(shape, recipe.form)
    return [*found, misfit] if misfit is not None else found


def _long_names(dataset_id: str, recipe: Recipe) -> Iterator[Violation]:
    if recipe.split is None:
        return
    shares = {Side.VALIDATION: recipe.split.validation_share, Side.TEST: recipe.split.test_share}
    for side, share in shares.items():
        held_out = held_out_dataset(dataset_id, side)
        if share and len(held_out) > _MAX_ID:
            en = f"Held-out rows would go to {held_out!r}, longer than {_MAX_ID} characters. Name a data set with a shorter id."
            ja = f"取り分けた行の保存先 {held_out!r} が {_MAX_ID} 文字を超えます。ID の短いデータセットを指定してください。"
            yield Violation("dataset", "TOO_LONG", en, ja)


def _changes(rows: list[RowView], found: Preview) -> Iterator[pb.RowChange]:
    for change in found.changes:
        row = rows[change.row]
        before = conversion.row(row)
        after = [
            conversion.row(
                replace(row, json=made.json, prompt=made.prompt, completion=made.completion, rejected=made.rejected)
            )
            for made in change.after
        ]
        yield pb.RowChange(before=before, after=after[0] if after else None)
        yield from (pb.RowChange(after=further) for further in after[1:])
