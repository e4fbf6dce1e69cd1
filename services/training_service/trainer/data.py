"""Rows from files into tokens: read, parsed, rendered by services/text, split into training and held-out."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from services.text import template as templates
from services.text.detection import FormTally
from services.text.problems import Problem, ProblemError
from services.text.rows import Example, parse
from services.text.supervision import Rendered, differs_when_served, render_all
from services.text.template import Template
from services.training_service.trainer import objective
from services.training_service.trainer.failures import DataError, data
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.job import JobFile, Rows
from services.training_service.trainer.rows import TrainingRow

log = logging.getLogger(__name__)

_CHUNK = 512
_MAX_PROBLEMS = 10
_CHECKED_FOR_SERVING = 200
_UNBOUNDED = 2**30
Told = Callable[[float], None]


@dataclass(frozen=True)
class Prepared:
    """Everything that is trained and measured on."""

    template: Template
    train: list[TrainingRow]
    held_out: list[TrainingRow]
    held_out_prompts: tuple[str, ...]
    """What was asked in the held-out rows, whatever their length."""


def prepare(job: JobFile, tokenizer: Any, max_length: int, told: Told) -> Prepared:
    """Reads and renders all rows; `told` hears the share done. Raises DataError."""
    hp = job.hyperparameters
    examples = _read(job.dataset, job.template, hp, told)
    template = _bind(examples.template, tokenizer)
    train, held_out = examples.rows, []
    if job.eval_dataset is not None:
        held_out = _read(job.eval_dataset, _as_dict(examples.template), hp, told).rows
    else:
        train, held_out = split(train, hp.eval_split, hp.seed)
    _tell_of_one_label(train)
    render = _Renderer(template, tokenizer, max_length, hp)
    render.warn_of_serving(train)
    return Prepared(
        template=template,
        train=render.all(train, "dataset", lambda share: told(0.2 + 0.6 * share)),
        held_out=render.all(held_out, "eval_dataset", lambda share: told(0.8 + 0.1 * share)),
        held_out_prompts=tuple(prompt for example in held_out if (prompt := example.prompt)),
    )


def _tell_of_one_label(train: Sequence[Example]) -> None:
    there = objective.one_label(train)
    if there:
        lacking = "false" if there == "true" else "true"
        log.warning(
            "all %d rows to train on have the label %s; kto learns by comparing wanted answers with unwanted ones: add "
            "rows with the label %s",
            len(train),
            there,
            lacking,
        )


def split(rows: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Holds out a share of the rows, at least one where it is above 0; the same rows for the same seed."""
    held = min(len(rows) - 1, max(1, round(len(rows) * share))) if share > 0 else 0
    order = list(range(len(rows)))
    random.Random(f"held-out {seed}").shuffle(order)  # noqa: S311 - not for secrets
    out = set(order[:held])
    return [r for i, r in enumerate(rows) if i not in out], [r for i, r in enumerate(rows) if i in out]


@dataclass(frozen=True)
class _Examples:
    template: Template
    rows: list[Example]


def _as_dict(template: Template) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(template.to_json())
    return fields


def _read(rows: Rows, given: dict[str, Any], hp: Hyperparameters, told: Told) -> _Examples:
    path = Path(rows.path)
    values = list(_values(path))
    told(0.1)
    if not values:
        raise data("NO_ROWS", "dataset", f"{rows.name or path} has no rows", f"{rows.name or path} に行がありません")
    try:
        found = templates.parse_template(json.dumps(given)) if given else _detect(values)
        template = objective.template_for(found, hp.objective)
    except ProblemError as error:
        raise DataError(*error.problems) from error
    return _Examples(template, objective.examples_for(_parse_all(values, template), hp.objective))


def _detect(values: Sequence[object]) -> Template:
    tally = FormTally()
    for value in values:
        tally.add(value)
    found = tally.detection()
    log.info("rows: %s", found.evidence_en)
    return templates.for_rows(found.form, found.markers)


def _values(path: Path) -> Iterator[object]:
    """Every row, decoded. Raises DataError naming the line that cannot be."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet_values(path)
        else:
            with path.open(encoding="utf-8-sig") as lines:
                yield from (_decode(line, number) for number, line in enumerate(lines, 1) if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise data(
            "DATA_UNREADABLE", "dataset", f"{path} cannot be read: {error}", f"{path} を読めません: {error}"
        ) from error


def _decode(line: str, number: int) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        en, ja = f"line {number} is not JSON: {error}", f"{number} 行目が JSON ではありません: {error}"
        raise data("INVALID_JSON", f"line {number}", en, ja) from error


def _parquet_values(path: Path) -> Iterator[object]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            packed = "json" in file.schema_arrow.names
            for batch in file.iter_batches(columns=["json"] if packed else None):
                yield from (_decode(r["json"], 0) if packed else r for r in batch.to_pylist())
    except pa.ArrowException as error:
        raise OSError(str(error)) from error


def _parse_all(values: Sequence[object], template: Template) -> list[Example]:
    rows: list[Example] = []
    problems: list[Problem] = []
    for number, value in enumerate(values, 1):
        try:
            rows.append(parse(value, template.form, template.markers, tools=True))
        except ProblemError as error:
            problems += [_at_row(number, problem) for problem in error.problems]
            if len(problems) >= _MAX_PROBLEMS:
                break
    if problems:
        raise DataError(*problems)
    return rows


def _at_row(number: int, problem: Problem) -> Problem:
    place = f"row {number}" + (f", {problem.field}" if problem.field else "")
    return replace(problem, field=place, en=f"row {number}: {problem.en}", ja=f"{number} 行目: {problem.ja}")


def _bind(template: Template, tokenizer: Any) -> Template:
    try:
        return templates.bind(template, tokenizer)
    except ProblemError as error:
        raise DataError(*error.problems) from error


@dataclass(frozen=True)
class _Renderer:
    """Examples into tokens, for one model and objective."""

    template: Template
    tokenizer: Any
    max_length: int
    hp: Hyperparameters

    def all(self, examples: Sequence[Example], field: str, told: Told) -> list[TrainingRow]:
        """Rows in which something is trained. Raises DataError, also where none is left."""
        rendered: list[Rendered] = []
        texts = objective.sequences(examples, self.hp.objective)
        # Rows of continued pretraining are cut into several afterwards instead of being cut off.
        longest = _UNBOUNDED if self.hp.objective == "pretraining" else self.max_length
        while chunk := list(islice(texts, _CHUNK)):
            try:
                rendered += render_all(chunk, self.template, self.tokenizer, longest)
            except ProblemError as error:
                raise DataError(*error.problems) from error
            told(min(1.0, len(rendered) / len(examples)))
        rows = objective.training_rows(examples, rendered, self.template.stop, self.max_length, self.hp.objective)
        self._tell_of_truncation(rendered, len(examples), len(rows))
        if examples and not rows:
            raise _all_truncated(self.max_length, field)
        return rows

    def warn_of_serving(self, examples: Sequence[Example]) -> None:
        """Looks whether prompts have other tokens when they are served."""
        checked = list(objective.sequences(examples[:_CHECKED_FOR_SERVING], self.hp.objective))
        try:
            differing = sum(differs_when_served(row, self.template, self.tokenizer) for row in checked)
        except ProblemError as error:
            raise DataError(*error.problems) from error
        if differing:
            log.warning(
                "in %d of %d rows the prompt ends with other tokens than when it is served: a token straddles prompt"
                " and answer, or the chat template opens answers in another way",
                differing,
                len(checked),
            )

    def _tell_of_truncation(self, rendered: Sequence[Rendered], examples: int, rows: int) -> None:
        cut = [row for row in rendered if row.dropped_tokens]
        if cut:
            log.warning(
                "%d of %d rows are longer than %d tokens; %d tokens were cut off",
                len(cut),
                len(rendered),
                self.max_length,
                sum(row.dropped_tokens for row in cut),
            )
        if rows < examples:
            log.warning(
                "%d rows have no answer left within %d tokens and are left out", examples - rows, self.max_length
            )


def _all_truncated(max_length: int, field: str) -> DataError:
    return data(
        "ALL_ROWS_TRUNCATED",
        field,
        f"max_length {max_length} cuts off every answer; raise it",
        f"max_length {max_length} では全ての応答が切り落とされます。値を大きくしてください",
    )
