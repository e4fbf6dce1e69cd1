"""What the data service speaks of: data sets, versions, rows, and how files are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

MAX_LINE_BYTES = 1 << 20
"""The longest line of a data set: two of its kind fit into one message."""

ORIGINAL_FOLDER = "original"
ROWS_PATH = "rows.parquet"
SET_ASIDE_PATH = "set-aside.jsonl"
INDEX_PATH = "rows.index"
INTERNAL_PATHS = (INDEX_PATH,)
"""Files of the version like the others, but of no use to anyone outside."""

CHECKED_PATHS = (ROWS_PATH, INDEX_PATH, SET_ASIDE_PATH)
"""What a check writes, the last only where rows were set aside."""


class RowForm(StrEnum):
    """What the rows of a version look like; DETECT in a request, and in a report where none was told."""

    DETECT = "DETECT"
    TEXT = "TEXT"
    INSTRUCTION = "INSTRUCTION"
    MESSAGES = "MESSAGES"
    PROMPT_COMPLETION = "PROMPT_COMPLETION"
    CONVERSATIONS = "CONVERSATIONS"
    PREFERENCE = "PREFERENCE"
    LABELED = "LABELED"


class FileFormat(StrEnum):
    """How rows are written in a file; DETECT in a request, and in a report where it was not told."""

    DETECT = "DETECT"
    JSONL = "JSONL"
    JSON = "JSON"
    CSV = "CSV"
    TSV = "TSV"
    PARQUET = "PARQUET"
    TEXT = "TEXT"


class TextEncoding(StrEnum):
    """How characters are written; DETECT means UTF-8, or UTF-16 where a byte order mark says so."""

    DETECT = "DETECT"
    CP932 = "CP932"
    EUC_JP = "EUC_JP"


class BadRows(StrEnum):
    """What becomes of rows with an error."""

    REFUSE = "REFUSE"
    SET_ASIDE = "SET_ASIDE"


class ToolTurns(StrEnum):
    """What becomes of conversations with turns of tools."""

    REFUSE = "REFUSE"
    KEEP = "KEEP"


class TrainOn(StrEnum):
    """Which part of a row is trained; AUTO only in a request."""

    AUTO = "AUTO"
    COMPLETION = "COMPLETION"
    ALL = "ALL"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A named collection of versions."""

    tenant: str
    id: str
    uid: str
    etag: str
    display_name: str
    description: str
    # Number of the newest version that is not deleted; 0 when there is none.
    latest_version: int
    create_time: datetime
    update_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"datasets/{self.id}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """How rows become prompt and completion, and why it was chosen so."""

    form: RowForm
    train_on: TrainOn
    # The markers of TEXT rows, such as "質問: " and "回答: "; both empty when there are none.
    prompt_marker: str = ""
    completion_marker: str = ""
    evidence_en: str = ""
    evidence_ja: str = ""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a file is to be read."""

    format: FileFormat = FileFormat.DETECT
    encoding: TextEncoding = TextEncoding.DETECT
    # Fields of the form by the columns that hold them; empty for the rows' own names.
    columns: dict[str, str] = field(default_factory=dict)
    bad_rows: BadRows = BadRows.REFUSE
    tool_turns: ToolTurns = ToolTurns.REFUSE

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ReadOptions:
        """The inverse of `asdict`."""
        return cls(
            format=FileFormat(value["format"]),
            encoding=TextEncoding(value["encoding"]),
            columns=value["columns"],
            bad_rows=BadRows(value["bad_rows"]),
            tool_turns=ToolTurns(value["tool_turns"]),
        )


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts over the valid rows; lengths in characters of what the model is shown and learns."""

    rows: int = 0
    characters: int = 0
    min_characters: int = 0
    median_characters: int = 0
    max_characters: int = 0
    duplicate_rows: int = 0
    # Bucket i counts rows of [bounds[i-1], bounds[i]) characters.
    histogram_counts: list[int] = field(default_factory=list)
    histogram_bounds: list[int] = field(default_factory=list)
    # Shares from 0 to 1 of characters by script and of rows by language.
    script_shares: dict[str, float] = field(default_factory=dict)
    language_shares: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VersionFile:
    """One file of a version, by digest."""

    path: str
    size_bytes: int
    sha256: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a version's rows come from; all empty for an upload."""

    # The version that it was prepared from, and how (a Recipe as JSON).
    parent: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    # Where it was imported from.
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Version:
    """Rows that never change."""

    tenant: str
    dataset_id: str
    number: int
    uid: str
    sha256: str
    size_bytes: int
    filename: str
    template: Template
    statistics: Statistics
    data_job: str
    origin: Origin
    create_time: datetime
    files: tuple[VersionFile, ...]

    @property
    def name(self) -> str:
        """The resource name."""
        return f"datasets/{self.dataset_id}/versions/{self.number}"

    @property
    def visible_files(self) -> tuple[VersionFile, ...]:
        """The files that users see."""
        return tuple(file for file in self.files if file.path not in INTERNAL_PATHS)

    def file(self, path: str) -> VersionFile | None:
        """The file of a path; the original when the path is empty."""
        for file in self.files:
            if file.path == path or (not path and file.path.startswith(f"{ORIGINAL_FOLDER}/")):
                return file
        return None


@dataclass(frozen=True, kw_only=True)
class TokenStatistics:
    """Lengths of a version's rows in tokens of a base model."""

    rows: int
    tokens: int
    trained_tokens: int
    min_tokens: int
    median_tokens: int
    p95_tokens: int
    max_tokens: int
    # Bucket i counts rows of [bounds[i-1], bounds[i]) tokens.
    histogram_counts: list[int]
    histogram_bounds: list[int]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Something that depends on a version."""

    dataset_id: str
    number: int
    # A resource name, such as "trainingJobs/{j}".
    referrer: str
    create_time: datetime


def version_of(name: str) -> tuple[str, int]:
    """Data set and number of a version's resource name, which was checked before."""
    _, dataset_id, _, number = name.split("/")
    return dataset_id, int(number)
