"""What the checking process is told, as JSON on its command line, and what it says while it works."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from services.data_service.domain import MAX_LINE_BYTES, ReadOptions, RowForm, TrainOn

REPORT_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class ValidationRequest:
    """One file to check. The results are written into `output_dir`: report.json always, rows.parquet and
    rows.index when it is valid."""

    input_file: str
    output_dir: str
    # The user's name of the file.
    filename: str = ""
    form: RowForm = RowForm.DETECT
    train_on: TrainOn = TrainOn.AUTO
    read: ReadOptions = field(default_factory=ReadOptions)
    max_line_bytes: int = MAX_LINE_BYTES

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> ValidationRequest:
        """The inverse of `to_json`."""
        value = json.loads(line)
        forms = {"form": RowForm(value["form"]), "train_on": TrainOn(value["train_on"])}
        return cls(**{**value, **forms, "read": ReadOptions.from_json(value["read"])})


@dataclass(frozen=True)
class Progress:
    """One line of the process' standard output, about every half second."""

    done_bytes: int
    rows: int

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Progress:
        """The inverse of `to_json`."""
        return cls(**json.loads(line))
