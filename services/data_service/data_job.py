"""Data jobs: what they were asked to do, how far they are, and what they made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.data_service.domain import ReadOptions, RowForm, TrainOn


class JobKind(StrEnum):
    """What a data job does."""

    VALIDATION = "VALIDATION"
    IMPORT = "IMPORT"
    PREPARATION = "PREPARATION"
    TOKEN_COUNT = "TOKEN_COUNT"  # noqa: S105 - no secret


class JobPhase(StrEnum):
    """What a data job is doing; WAITING also once it has ended."""

    WAITING = "WAITING"
    FETCHING = "FETCHING"
    PREPARING = "PREPARING"
    CHECKING = "CHECKING"
    COUNTING = "COUNTING"


class JobState(StrEnum):
    """States of a data job."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether nothing follows it."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job failed, in both languages."""

    reason: str
    en: str
    ja: str


@dataclass(frozen=True, kw_only=True)
class PreparationStep:
    """What one step of a recipe did to the rows."""

    name: str
    rows_in: int
    rows_out: int
    changed_rows: int


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a job was asked to do. Of the lower fields those of its kind are set."""

    form: RowForm = RowForm.DETECT
    train_on: TrainOn = TrainOn.AUTO
    read: ReadOptions = field(default_factory=ReadOptions)
    # IMPORT: "drop:{name}", "s3://…", "https://…" or "hub:{id}@{revision}:{path}".
    source: str = ""
    # PREPARATION and TOKEN_COUNT: the version to read, "datasets/{d}/versions/{n}".
    source_version: str = ""
    # PREPARATION: a Recipe as JSON.
    recipe: dict[str, Any] = field(default_factory=dict)
    # TOKEN_COUNT: "baseModels/{b}".
    base_model: str = ""
    # Display name of the data set that is made with the version where it is missing; None: it has to be there.
    new_dataset: str | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> JobSpec:
        """The inverse of `asdict`."""
        forms = {"form": RowForm(value["form"]), "train_on": TrainOn(value["train_on"])}
        return cls(**{**value, **forms, "read": ReadOptions.from_json(value["read"])})


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What a job made beside its version."""

    # Held-out rows, "datasets/{d}/versions/{n}".
    validation_version: str = ""
    test_version: str = ""
    steps: tuple[PreparationStep, ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> JobOutcome:
        """The inverse of `asdict`."""
        return cls(**{**value, "steps": tuple(PreparationStep(**step) for step in value["steps"])})


@dataclass(frozen=True, kw_only=True)
class DataJob:
    """Work that takes longer than a call."""

    tenant: str
    id: str
    uid: str
    kind: JobKind
    state: JobState
    phase: JobPhase
    # The data set that gets the version.
    dataset_id: str
    # The upload that is checked; empty for the other kinds.
    upload_id: str
    # The file's name and digest; empty while it is not fetched or made. An upload is forgotten after a while.
    filename: str
    sha256: str
    spec: JobSpec
    # The number of the version that it made or counted; 0 before.
    version_number: int
    outcome: JobOutcome
    done_bytes: int
    total_bytes: int
    rows: int
    failure: Failure | None
    attempt: int
    fence: int
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None

    @property
    def name(self) -> str:
        """The resource name."""
        return f"dataJobs/{self.id}"
