"""`python -m services.data_service.preparation.preview`: what a recipe would do to a few rows.

The request comes as one JSON on standard input, the answer goes as one to standard output. A process of its own,
because a pattern of the user's may take its time, and finding similar rows loads what a service need not hold.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

from services.core import lifeline
from services.core.errors import DomainError
from services.data_service.domain import Template
from services.data_service.preparation.filtering import OutOfTime
from services.data_service.preparation.rows import Row, Shape
from services.data_service.preparation.slow_patterns import SlowPatterns
from services.data_service.preparation.splitting import Side
from services.data_service.preparation.steps import RowSteps
from services.data_service.recipe import Deduplication, Recipe
from services.data_service.report import Finding, finding_from_json, template_from_json
from services.text.examples import Preference
from services.text.problems import ProblemError

MAX_BYTES = 3 << 20
"""Before and after together must fit into one message."""
_SECONDS = 10.0
"""Of processor time; no pattern is searched for after this."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A row as it is: its position from 0, its line, its JSON."""

    index: int
    line: int
    json: str


@dataclass(frozen=True, kw_only=True)
class PreviewRequest:
    """Rows, how they are to be read, and what would be done."""

    template: Template
    recipe: Recipe
    rows: list[Seen]

    def to_json(self) -> str:
        """As one line."""
        return json.dumps({**asdict(self), "recipe": self.recipe.to_json()})

    @classmethod
    def from_json(cls, text: str) -> PreviewRequest:
        """The inverse of `to_json`."""
        value = json.loads(text)
        return cls(
            template=template_from_json(value["template"]),
            recipe=Recipe.from_json(value["recipe"]),
            rows=[Seen(**row) for row in value["rows"]],
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """A row that there would be."""

    json: str
    prompt: str
    completion: str
    rejected: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of one row: nothing, another row, or several."""

    # Which of the request's rows, from 0.
    row: int
    after: list[Made]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The rows that would change, how many were looked at and what took long; or why it cannot be done."""

    changes: list[Change] = field(default_factory=list)
    rows: int = 0
    unchanged_rows: int = 0
    dropped_rows: int = 0
    findings: list[Finding] = field(default_factory=list)
    # Reason and parameters of a DomainError.
    failure: str = ""
    params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: bytes) -> Preview:
        """The inverse of `asdict`."""
        value = json.loads(text)
        changes = [Change(row=one["row"], after=[Made(**made) for made in one["after"]]) for one in value["changes"]]
        return cls(**{**value, "changes": changes, "findings": list(map(finding_from_json, value["findings"]))})


def preview(request: PreviewRequest) -> Preview:
    """What would become of the rows, of as many as time and a message have room for."""
    try:
        return _preview(request)
    except DomainError as error:
        return Preview(failure=error.reason, params=dict(error.params))


def _preview(request: PreviewRequest) -> Preview:
    steps = RowSteps(request.recipe, Shape.of(request.template), until=process_time() + _SECONDS)
    slow = SlowPatterns(steps.judge)
    made = list(_made(request.rows, steps, slow))
    if request.recipe.deduplication is not None:
        made = _without_repetitions(made, request.recipe.deduplication, steps.shape)
    changes: list[Change] = []
    unchanged = dropped = 0
    for number, after in enumerate(made):
        if [row.json.decode() for row in after] == [request.rows[number].json]:
            unchanged += 1
            continue
        dropped += not after
        changes.append(Change(row=number, after=[_shown(row, steps.shape) for row in after]))
    return Preview(
        changes=changes, rows=len(made), unchanged_rows=unchanged, dropped_rows=dropped, findings=slow.findings()
    )


def _made(rows: list[Seen], steps: RowSteps, slow: SlowPatterns) -> Iterator[list[Row]]:
    size = 0
    for number, seen in enumerate(rows):
        stored = seen.json.encode()
        try:
            after = steps.apply(Row(seen.index + 1, seen.line, stored, json.loads(stored)))
        except OutOfTime:
            slow.stopped(looked_at=number, rows=len(rows), seconds=_SECONDS)
            return
        slow.passed(seen.line, seen.json)
        # Each once as JSON, once as prompt and completion.
        size += 2 * (len(stored) + sum(len(row.json) for row in after))
        if number and size > MAX_BYTES:
            return
        yield after


def _without_repetitions(made: list[list[Row]], how: Deduplication, shape: Shape) -> list[list[Row]]:
    from services.data_service.preparation.duplicates import Waiting

    with tempfile.TemporaryDirectory() as folder, Waiting(how, Path(folder)) as waiting:
        for rows in made:
            for row in rows:
                waiting.add(row, shape.contents(row.value), Side.KEPT)
        for _ in waiting.drop():
            pass
        stays = iter(waiting.stays())
        return [[row for row in rows if next(stays)] for rows in made]


def _shown(row: Row, shape: Shape) -> Made:
    try:
        example = shape.example(row.value)
    except ProblemError:  # the check would refuse it; here it is shown as it would be
        return Made(json=row.json.decode(), prompt="", completion="")
    rejected = example.rejected if isinstance(example, Preference) else ""
    return Made(json=row.json.decode(), prompt=example.prompt, completion=example.completion, rejected=rejected)


def main() -> int:
    """Answers one request."""
    lifeline.attach()
    answer = preview(PreviewRequest.from_json(sys.stdin.read()))
    sys.stdout.write(json.dumps(asdict(answer)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
