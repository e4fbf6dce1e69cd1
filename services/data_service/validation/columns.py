"""Columns under other names than those of the form: renamed, or called by name when they are missing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from services.text.problems import Problem, ProblemError
from services.text.rows import FIELD_NAMES

_MAX_OPTIONS = 4


def rename(row: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """The row under the names of the form. Columns that are not named are dropped; without any, all are kept.

    Args:
        row: a row as the file has it.
        columns: the form's fields, each with the column that holds it.

    Raises:
        ProblemError: columns are missing.
    """
    if not columns:
        return row
    missing = [column for column in columns.values() if column not in row]
    if missing:
        raise ProblemError(*(_missing(column, row) for column in missing))
    return {field: row[column] for field, column in columns.items()}


def column_options(lacking: Sequence[str], row: Mapping[str, Any]) -> str:
    """The options of the command line that would read a row's other columns as the fields that it lacks.

    Columns that are not named would be left out, so that the fields which are there are named too. "" where no other
    column is there. Without `lacking`, fields to begin with.
    """
    kept = [name for name in row if name in FIELD_NAMES]
    others = [name for name in row if name not in FIELD_NAMES]
    wanted = lacking or (("instruction", "response") if len(others) > 1 else ("text",))
    pairs = [*zip(kept, kept, strict=True), *zip(wanted, others, strict=False)] if others else []
    return " ".join(f"--column {shlex.quote(f'{field}={column}')}" for field, column in pairs[:_MAX_OPTIONS])


def _missing(column: str, row: Mapping[str, Any]) -> Problem:
    there = ", ".join(map(str, row))[:200] or "none"
    en = f"the column {column!r} is missing, which was named as one to read; the row's columns are: {there}"
    ja = f"読み込み対象に指定された列「{column}」がありません。今ある列: {there}"
    return Problem("MISSING_COLUMN", column, en, ja)
