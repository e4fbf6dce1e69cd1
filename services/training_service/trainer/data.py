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

import numpy as np
import numpy.typing as npt

from services.text import template as templates
from services.text.detection import FormTally
from services.text.problems import Problem, ProblemError
from services.text.rows import Example, parse
from services.text.supervision import Rendered, differs_when_served, render_all
from services.text.template import Template
from services.training_service.trainer.failures import DataError, data
from services.training_service.trainer.job import JobFile, Rows

log = logging.getLogger(__name__)

_CHUNK = 512
_MAX_PROBLEMS = 10
_CHECKED_FOR_SERVING = 200
Told = Callable[[float], None]


@dataclass(frozen=True)
class TokenRow:
    """One row as the model sees it."""

    ids: npt.NDArray[np.int32]
    """[tokens]"""
    trained: npt.NDArray[np.bool_]
    """[tokens]; whether the token counts in the loss. The first never does: nothing predicts it."""
    characters: int
    """Characters of what is trained, the stop token not counted."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that count in the loss."""
        return int(self.trained[1:].sum())


@dataclass(frozen=True)
class Prepared:
    """Everything that is trained and measured on."""

    template: Template
    train: list[TokenRow]
    held_out: list[TokenRow]
    prompts: tuple[str, ...]
    """Prompts for samples: the job's, or else three held-out ones."""


def prepare(job: JobFile, tokenizer: Any, max_length: int, told: Told) -> Prepared:
    """Reads and renders all rows; `told` hears the share done. Raises DataError."""
    examples = _read(job.dataset, job.template, told)
    template = _bind(examples.template, tokenizer)
    train, held_out = examples.rows, []
    if job.eval_dataset is not None:
        held_out = _read(job.eval_dataset, _as_dict(examples.template), told).rows
    else:
        train, held_out = split(train, job.hyperparameters.eval_split, job.hyperparameters.seed)
    _warn_of_serving(train, template, tokenizer)
    return Prepared(
        template=template,
        train=_render(train, template, tokenizer, max_length, "dataset", lambda share: told(0.2 + 0.7 * share)),
        held_out=_render(held_out, template, tokenizer, max_length, "eval_dataset", lambda s: told(0.9 + 0.1 * s)),
        prompts=job.sample_prompts or tuple(prompt for e in held_out[:3] if (prompt := e.prompt)),
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


def _read(rows: Rows, given: dict[str, Any], told: Told) -> _Examples:
    path = Path(rows.path)
    values = list(_values(path))
    told(0.1)
    if not values:
        raise data("NO_ROWS", "dataset", f"{rows.name or path} has no rows", f"{rows.name or path} に行がありません")
    try:
        template = templates.parse_template(json.dumps(given)) if given else _detect(values)
    except ProblemError as error:
        raise DataError(*error.problems) from error
    return _Examples(template, _parse_all(values, template))


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


def _render(
    rows: Sequence[Example], template: Template, tokenizer: Any, max_length: int, field: str, told: Told
) -> list[TokenRow]:
    rendered: list[Rendered] = []
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        try:
            rendered += render_all(chunk, template, tokenizer, max_length)
        except ProblemError as error:
            raise DataError(*error.problems) from error
        told(len(rendered) / len(rows))
    kept = [row for row in rendered if row.trained_tokens]
    _tell_of_truncation(rendered, kept, max_length)
    if rows and not kept:
        en = f"max_length {max_length} cuts off every answer; raise it"
        raise data(
            "ALL_ROWS_TRUNCATED",
            field,
            en,
            f"max_length {max_length} では全ての応答が切り落とされます。値を大きくしてください",
        )
    return [_token_row(row, template.stop) for row in kept]


def _tell_of_truncation(rendered: Sequence[Rendered], kept: Sequence[Rendered], max_length: int) -> None:
    cut = [row for row in rendered if row.dropped_tokens]
    if cut:
        tokens = sum(row.dropped_tokens for row in cut)
        log.warning(
            "%d of %d rows are longer than %d tokens; %d tokens were cut off",
            len(cut),
            len(rendered),
            max_length,
            tokens,
        )
    if len(kept) < len(rendered):
        log.warning(
            "%d rows have no answer left within %d tokens and are left out", len(rendered) - len(kept), max_length
        )


def _token_row(row: Rendered, stop: Sequence[str]) -> TokenRow:
    pieces = zip(row.pieces[1:], row.trained[1:], strict=True)
    return TokenRow(
        ids=np.asarray(row.input_ids, dtype=np.int32),
        trained=np.asarray(row.trained, dtype=np.bool_),
        characters=sum(len(piece) for piece, trained in pieces if trained and piece not in stop),
    )


def _warn_of_serving(rows: Sequence[Example], template: Template, tokenizer: Any) -> None:
    checked = rows[:_CHECKED_FOR_SERVING]
    try:
        differing = sum(differs_when_served(row, template, tokenizer) for row in checked)
    except ProblemError as error:
        raise DataError(*error.problems) from error
    if differing:
        log.warning(
            "in %d of %d rows the prompt ends with other tokens than when it is served: a token straddles prompt and"
            " answer, or the chat template opens answers in another way",
            differing,
            len(checked),
        )
