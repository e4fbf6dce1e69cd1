"""What the checking process is told, as JSON on its command line, and what it says while it works."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from services.data_service.domain import MAX_LINE_BYTES, ReadOptions, RowForm, TrainOn

REPORT_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class ValidationRequest:
    """A file to check, or a folder of files that are read in the order of their names.

    The results are written into `output_dir`: report.json always; rows.parquet and rows.index when it is
    valid; set-aside.jsonl when rows were set aside.
    """

    input_file: str
    output_dir: str
    # The user's name of the file: evidence of its format where the content allows several.
    filename: str = ""
    form: RowForm = RowForm.DETECT
    train_on: TrainOn = TrainOn.AUTO
    read: ReadOptions = field(default_factory=ReadOptions)
    max_line_bytes: int = MAX_LINE_BYTES
    # What a compressed file may unpack to: in bytes, and as a multiple of its length once that is above 64 MiB.
    max_unpacked_bytes: int = 64 << 30
    max_unpacked_ratio: int = 200

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> ValidationRequest:
        """The inverse of `to_json`."""
        value = json.loads(line)
        forms = {"form": RowForm(value["form"]), "train_on": TrainOn(value["train_on"])}
        return cls(**{**value, **forms, "read": ReadOptions.from_json(value["read"])})
