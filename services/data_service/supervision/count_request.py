"""What the counting process is told, as JSON on its command line, and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from services.data_service.domain import TokenStatistics
from services.data_service.supervision.protocol import Trouble

RESULT_FILE = "tokens.json"


@dataclass(frozen=True, kw_only=True)
class CountRequest:
    """The version's rows.parquet, the folder of the tokenizer, the template; RESULT_FILE goes into `folder`."""

    rows: str
    tokenizer: str
    template: str
    folder: str

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> CountRequest:
        """The inverse of `to_json`."""
        return cls(**json.loads(line))


@dataclass(frozen=True, kw_only=True)
class CountResult:
    """The statistics, or why rows cannot be rendered."""

    statistics: TokenStatistics | None = None
    refused: Trouble | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CountResult:
        """The inverse of `asdict`."""
        statistics, refused = value["statistics"], value["refused"]
        return cls(
            statistics=TokenStatistics(**statistics) if statistics else None,
            refused=Trouble(**refused) if refused else None,
        )
