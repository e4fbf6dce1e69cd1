"""What the service and its warm rendering process say to each other, one JSON object a line. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why something cannot be rendered, with the reason of services/text."""

    reason: str
    field: str
    en: str
    ja: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """Rows of one version, as JSON, and the folder of the tokenizer."""

    tokenizer: str
    template: str
    rows: tuple[str, ...]
    max_length: int

    def line(self) -> bytes:
        """As one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Request:
        """The inverse of `line`."""
        value = json.loads(line)
        return cls(**{**value, "rows": tuple(value["rows"])})


@dataclass(frozen=True, kw_only=True)
class RenderedRow:
    """One row as the model sees it: token numbers, their characters, whether each counts in the loss."""

    ids: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()
    trained: tuple[bool, ...] = ()
    truncated_tokens: int = 0
    stop_trained: bool = False
    double_bos: bool = False
    # The prompt alone has other tokens when it is served.
    served_otherwise: bool = False
    # Which of the request's rows it is, from 0, and which of its answers where it has two.
    row: int = 0
    answer: str = ""
    # Why it cannot be rendered; the rest is empty then.
    trouble: Trouble | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> RenderedRow:
        """From decoded JSON."""
        lists = {name: tuple(value[name]) for name in ("ids", "pieces", "trained")}
        return cls(**{**value, **lists, "trouble": _trouble(value["trouble"])})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The rows of a request in order, twice where answers are compared, or why none of them can be rendered."""

    rows: tuple[RenderedRow, ...] = ()
    refused: Trouble | None = None

    def line(self) -> bytes:
        """As one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> Answer:
        """The inverse of `line`."""
        value = json.loads(line)
        rows = tuple(RenderedRow.of(row) for row in value["rows"])
        return cls(rows=rows, refused=_trouble(value["refused"]))


def _trouble(value: Mapping[str, str] | None) -> Trouble | None:
    return None if value is None else Trouble(**value)
