"""What a preparation does to rows: read by calls, kept with the version, carried out by a child process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from services.data_service.domain import RowForm


class Normalization(StrEnum):
    """How characters are normalised."""

    NONE = "NONE"
    HALFWIDTH_KANA = "HALFWIDTH_KANA"
    NFKC = "NFKC"


@dataclass(frozen=True, kw_only=True)
class Chunking:
    """Cutting of long texts, in characters."""

    max_characters: int
    overlap_characters: int = 0


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """Personal data that is replaced by a mark."""

    emails: bool = False
    phone_numbers: bool = False
    my_numbers: bool = False


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """Which rows stay; 0 is no bound."""

    min_characters: int = 0
    max_characters: int = 0
    drop_patterns: list[str] = field(default_factory=list)
    keep_patterns: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Deduplication:
    """Which repetitions go; `near_threshold` 0 leaves similar rows."""

    exact: bool = False
    near_threshold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which rows are held out, as shares from 0 to 0.5."""

    validation_share: float = 0.0
    test_share: float = 0.0
    salt: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The steps in the order in which they are done; None leaves a step out, DETECT leaves the form."""

    chunking: Chunking | None = None
    form: RowForm = RowForm.DETECT
    normalization: Normalization = Normalization.NONE
    redaction: Redaction | None = None
    filter: RowFilter | None = None
    deduplication: Deduplication | None = None
    split: Split | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the job's row and the version's."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Recipe:
        """The inverse of `to_json`."""
        kinds: dict[str, type[Any]] = {
            "chunking": Chunking,
            "redaction": Redaction,
            "filter": RowFilter,
            "deduplication": Deduplication,
            "split": Split,
        }
        steps = {name: kind(**value[name]) for name, kind in kinds.items() if value[name] is not None}
        return cls(form=RowForm(value["form"]), normalization=Normalization(value["normalization"]), **steps)
