"""What the comparing process is told, as JSON on its command line, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from services.data_service.domain import Template
from services.data_service.report import template_from_json

RESULT_FILE = "differences.json"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two versions: its rows.parquet and how its rows become prompt and completion."""

    file: str
    template: Template

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Side:
        """The inverse of `asdict`."""
        return cls(file=value["file"], template=template_from_json(value["template"]))


@dataclass(frozen=True, kw_only=True)
class DiffRequest:
    """Which versions to compare; RESULT_FILE and what is spilled to disk go into `folder`."""

    version: Side
    base: Side
    folder: str
    # Rows of each kind to show.
    limit: int
    # A kind shows fewer rows rather than more bytes.
    max_bytes: int

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> DiffRequest:
        """The inverse of `to_json`."""
        value = json.loads(line)
        return cls(**{**value, "version": Side.from_json(value["version"]), "base": Side.from_json(value["base"])})


@dataclass(frozen=True, kw_only=True)
class ShownRow:
    """A row for people, with the names of `row_pages.RowView`."""

    index: int
    line: int
    json: str
    prompt: str
    completion: str
    rejected: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How many rows are what, and the first of each kind."""

    unchanged_rows: int
    added_rows: int
    removed_rows: int
    changed_rows: int
    added: tuple[ShownRow, ...]
    removed: tuple[ShownRow, ...]
    # Before and after.
    changed: tuple[tuple[ShownRow, ShownRow], ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Difference:
        """The inverse of `asdict`."""
        lists = {name: tuple(ShownRow(**row) for row in value[name]) for name in ("added", "removed")}
        changed = tuple((ShownRow(**before), ShownRow(**after)) for before, after in value["changed"])
        return cls(**{**value, **lists, "changed": changed})
