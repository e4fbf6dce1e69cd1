"""One pass over a version's rows, and another over those that wait for the end of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic

from services.core.errors import DomainError
from services.data_service.child import Progress, Tell
from services.data_service.data_job import PreparationStep
from services.data_service.errors import PreparedNothing
from services.data_service.preparation.outputs import Outputs
from services.data_service.preparation.request import PreparationRequest, PreparationResult
from services.data_service.preparation.rows import Row, Shape
from services.data_service.preparation.source import Source
from services.data_service.preparation.splitting import Side, Splitter
from services.data_service.preparation.steps import RowSteps

_PROGRESS_EVERY_S = 0.5


def prepare(request: PreparationRequest, tell: Tell) -> PreparationResult:
    """Writes the rows into files by side; a failure that the user can do something about is in the result.

    Raises:
        OSError: the file cannot be read or the output not be written.
    """
    folder = Path(request.output_dir)
    try:
        with Source(Path(request.input_file)) as source, Outputs(folder) as outputs:
            steps = _Run(request, source, tell).write(outputs, folder)
            return PreparationResult(rows={side.name: rows for side, rows in outputs.rows.items()}, steps=tuple(steps))
    except DomainError as error:
        return PreparationResult(failure=error.reason, params=dict(error.params))


class _Run:
    def __init__(self, request: PreparationRequest, source: Source, tell: Tell) -> None:
        self._recipe = request.recipe
        self._source = source
        self._bytes_per_row = request.total_bytes / max(1, source.rows)
        self._tell = tell
        self._steps = RowSteps(request.recipe, Shape.of(request.template))
        self._splitter = Splitter(request.recipe.split)
        self._reads_texts = request.recipe.split is not None or request.recipe.deduplication is not None

    def write(self, outputs: Outputs, folder: Path) -> list[PreparationStep]:
        """Everything; what each step did."""
        if self._recipe.deduplication is None:
            for row, _, side in self._prepared():
                outputs.write(side, row.json + b"\n")
            done = self._steps.counts()
        else:
            done = self._without_repetitions(outputs, folder)
        kept, total = outputs.rows[Side.KEPT], sum(outputs.rows.values())
        if self._recipe.split is not None:
            done.append(PreparationStep(name="split", rows_in=total, rows_out=kept, changed_rows=0))
        if not kept:
            raise PreparedNothing(
                step=next((step.name for step in done if step.rows_in and not step.rows_out), "split")
            )
        return done

    def _without_repetitions(self, outputs: Outputs, folder: Path) -> list[PreparationStep]:
        # Loaded where it is needed: numpy and datasketch weigh more than all the rest.
        from services.data_service.preparation.duplicates import Waiting

        how = self._recipe.deduplication
        if how is None:
            raise AssertionError("asked only with repetitions to drop")
        with tempfile.TemporaryDirectory(dir=folder) as place, Waiting(how, Path(place)) as waiting:
            for row, texts, side in self._prepared():
                waiting.add(row, texts, side)
            done = [*self._steps.counts(), *waiting.drop()]
            for side, line in waiting.staying():
                outputs.write(side, line)
        return done

    def _prepared(self) -> Iterator[tuple[Row, tuple[str, ...], Side]]:
        """Rows with their texts and sides."""
        shape = self._steps.shape
        for row in self._told(self._source):
            for made in self._steps.apply(row):
                texts = shape.contents(made.value) if self._reads_texts else ()
                yield made, texts, self._splitter.side(made, texts, shape.form)

    def _told(self, rows: Iterable[Row]) -> Iterator[Row]:
        seen = 0
        tell_at = monotonic() + _PROGRESS_EVERY_S
        for row in rows:
            yield row
            seen += 1
            if monotonic() > tell_at:
                self._tell(Progress(int(seen * self._bytes_per_row), seen))
                tell_at = monotonic() + _PROGRESS_EVERY_S
        self._tell(Progress(int(seen * self._bytes_per_row), seen))
