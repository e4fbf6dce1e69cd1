"""What validation found: written as JSON by the child process, kept in the job's row, shown to the user."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from services.data_service.domain import FileFormat, RowForm, Statistics, Template, TrainOn
from services.data_service.errors import DataInvalid


class Severity(StrEnum):
    """An ERROR keeps the version from being made, a WARNING does not."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One place: line and column from 1 (column 0 is the whole line), byte from 0, field, and the text there.

    Of a folder, `excerpt` begins with the file's name.
    """

    line: int
    column: int
    byte_offset: int
    field: str
    excerpt: str


@dataclass(kw_only=True)
class Finding:
    """All places where one thing is wrong: what it is, what to do, how often, and the first places."""

    reason: str
    severity: Severity
    en: str
    ja: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole; `findings` has the errors first."""

    rows: int
    valid_rows: int
    template: Template
    findings: list[Finding]
    statistics: Statistics
    format: FileFormat = FileFormat.JSONL
    # How characters are written, such as "UTF-8" or "UTF-16", and "gzip", "zstd" or "" around it.
    encoding: str = "UTF-8"
    compression: str = ""
    # Why these were chosen.
    format_evidence_en: str = ""
    format_evidence_ja: str = ""
    set_aside_rows: int = 0

    @property
    def valid(self) -> bool:
        """Whether the rows may be trained on."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def error(self) -> DataInvalid:
        """Why no version was made: the first error with line, field and remedy, and how many there are."""
        errors = [finding for finding in self.findings if finding.severity is Severity.ERROR]
        first = min(errors, key=lambda finding: finding.examples[0].line if finding.examples else 0)
        place, place_ja = _place(first)
        return DataInvalid(
            place=place,
            place_ja=place_ja,
            finding=first.reason,
            text=first.en,
            text_ja=first.ja,
            errors=sum(finding.count for finding in errors),
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the file and for the row."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """The inverse of `to_json`."""
        parts = {
            "template": template_from_json(value["template"]),
            "findings": [finding_from_json(item) for item in value["findings"]],
            "statistics": Statistics(**value["statistics"]),
            "format": FileFormat(value.get("format", FileFormat.JSONL)),
        }
        return cls(**{**value, **parts})


def template_from_json(value: dict[str, Any]) -> Template:
    """The inverse of `asdict(template)`."""
    return Template(**{**value, "form": RowForm(value["form"]), "train_on": TrainOn(value["train_on"])})


def finding_from_json(value: dict[str, Any]) -> Finding:
    """The inverse of `asdict(finding)`."""
    examples = [Example(**example) for example in value["examples"]]
    return Finding(**{**value, "severity": Severity(value["severity"]), "examples": examples})


def _place(finding: Finding) -> tuple[str, str]:
    if not finding.examples or not finding.examples[0].line:
        return "", ""
    first = finding.examples[0]
    field_en, field_ja = (f", field {first.field}", f"、フィールド {first.field}") if first.field else ("", "")
    column_en, column_ja = (f", column {first.column}", f" {first.column} 文字目") if first.column else ("", "")
    return f"Line {first.line}{column_en}{field_en}: ", f"{first.line} 行目{column_ja}{field_ja}: "
