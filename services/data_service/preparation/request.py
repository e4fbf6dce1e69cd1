"""What the preparing process is told, in a file, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.data_service.data_job import PreparationStep
from services.data_service.domain import Template
from services.data_service.preparation.splitting import Side
from services.data_service.recipe import Recipe
from services.data_service.report import template_from_json

RESULT_FILE = "result.json"
ROW_FILES = {Side.KEPT: "kept.jsonl", Side.VALIDATION: "validation.jsonl", Side.TEST: "test.jsonl"}
"""Rows by side; a side without rows has no file."""


@dataclass(frozen=True, kw_only=True)
class PreparationRequest:
    """A rows.parquet, how its rows are to be read, and what is to be done; the results go into `output_dir`."""

    input_file: str
    output_dir: str
    template: Template
    recipe: Recipe
    # What all rows together count as in the progress.
    total_bytes: int = 0

    def to_json(self) -> str:
        """As one line."""
        return json.dumps({**asdict(self), "recipe": self.recipe.to_json()})

    @classmethod
    def from_json(cls, text: str) -> PreparationRequest:
        """The inverse of `to_json`."""
        value = json.loads(text)
        read = {"template": template_from_json(value["template"]), "recipe": Recipe.from_json(value["recipe"])}
        return cls(**{**value, **read})


@dataclass(frozen=True, kw_only=True)
class PreparationResult:
    """What came of it: rows by the name of their side and what each step did, or why it could not be done."""

    rows: dict[str, int] = field(default_factory=dict)
    steps: tuple[PreparationStep, ...] = ()
    # Reason and parameters of the DomainError; empty when it was done.
    failure: str = ""
    params: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes it whole or not at all."""
        partial = folder / f"{RESULT_FILE}.partial"
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(folder / RESULT_FILE)

    @classmethod
    def read(cls, folder: Path) -> PreparationResult:
        """The inverse of `write`."""
        value = json.loads((folder / RESULT_FILE).read_text())
        return cls(**{**value, "steps": tuple(PreparationStep(**step) for step in value["steps"])})
