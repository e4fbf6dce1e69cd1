"""What a recipe does to one row after another, counted; what needs all rows, such as duplicates, comes after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import inf

from services.data_service.data_job import PreparationStep
from services.data_service.domain import RowForm
from services.data_service.preparation.chunking import chunks
from services.data_service.preparation.conversion import Converter
from services.data_service.preparation.filtering import Filter
from services.data_service.preparation.normalization import normaliser
from services.data_service.preparation.redaction import redactor
from services.data_service.preparation.rows import Row, Shape, map_texts
from services.data_service.recipe import Chunking, Recipe
from services.text.markers import Markers


@dataclass
class Tally:
    """How many rows came to a step, left it, and were changed by it."""

    name: str
    rows_in: int = 0
    rows_out: int = 0
    changed_rows: int = 0

    def step(self) -> PreparationStep:
        """The same for the job."""
        return PreparationStep(
            name=self.name, rows_in=self.rows_in, rows_out=self.rows_out, changed_rows=self.changed_rows
        )


Step = Callable[[Row], Iterable[Row]]
FILTER = "filter"
"""The name of the last step."""


class RowSteps:
    """The steps from chunking to filtering. `shape` tells how the rows that come out are to be read."""

    def __init__(self, recipe: Recipe, shape: Shape, *, until: float = inf) -> None:
        """The recipe's form is none that is impossible for the shape; after `until` (processor time) no row is filtered."""
        self.shape = shape
        self._tallies: list[Tally] = []
        self._steps: list[Step] = []
        self.judge = Filter(recipe.filter, until=until) if recipe.filter is not None else None
        if recipe.chunking is not None:
            self._add("chunking", self._chunker(recipe, recipe.chunking))
        if recipe.form not in (RowForm.DETECT, shape.form):
            converter = Converter(shape, recipe.form)
            self.shape = converter.shape
            self._add("conversion", converter.convert)
        if (normalise := normaliser(recipe.normalization)) is not None:
            self._add("normalization", _mapper(normalise))
            if (markers := self.shape.markers) is not None:
                marks = Markers(normalise(markers.prompt), normalise(markers.completion))
                self.shape = replace(self.shape, markers=marks)
        if recipe.redaction is not None and (redact := redactor(recipe.redaction)) is not None:
            self._add("redaction", _mapper(redact))
        if self.judge is not None:
            self._filter(self.judge)

    def apply(self, row: Row) -> list[Row]:
        """What becomes of a row. Raises ConversionImpossible and OutOfTime."""
        rows = [row]
        for step, tally in zip(self._steps, self._tallies, strict=True):
            made: list[Row] = []
            for one in rows:
                found = list(step(one))
                tally.rows_in += 1
                tally.rows_out += len(found)
                tally.changed_rows += bool(found) and found[0] is not one
                made += found
            rows = made
        return rows

    def counts(self) -> list[PreparationStep]:
        """What each step has done so far; rows over which a filter took too long are told apart where there were any."""
        steps: list[PreparationStep] = []
        for tally in self._tallies:
            late = self.judge.late.total() if self.judge is not None and tally.name == FILTER else 0
            if late:
                steps.append(Tally("filter.timeout", tally.rows_in, tally.rows_in - late).step())
            steps.append(replace(tally, rows_in=tally.rows_in - late).step())
        return steps

    def _add(self, name: str, step: Step) -> None:
        self._tallies.append(Tally(name))
        self._steps.append(step)

    def _chunker(self, recipe: Recipe, how: Chunking) -> Step:
        changes = (
            normaliser(recipe.normalization),
            redactor(recipe.redaction) if recipe.redaction is not None else None,
        )

        def cut(row: Row) -> Iterable[Row]:
            text = row.value["text"]
            pieces = chunks(text, how) if len(text) > how.max_characters else [text]
            if pieces == [text]:
                return [row]
            origin = text
            for change in changes:
                origin = change(origin) if change is not None else origin
            return [row.changed({**row.value, "text": piece}, origin=origin) for piece in pieces]

        return cut

    def _filter(self, judge: Filter) -> None:
        def fitting(row: Row) -> Iterable[Row]:
            return [row] if judge.stays(self.shape.contents(row.value)) else []

        self._add(FILTER, fitting)


def _mapper(change: Callable[[str], str]) -> Step:
    def apply(row: Row) -> Iterable[Row]:
        value = map_texts(row.value, change)
        return [row] if value is row.value else [row.changed(value)]

    return apply
