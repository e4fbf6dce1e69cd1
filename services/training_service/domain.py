"""A training job: what it is made from, its states, and which of them may follow which. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.training_service.notes import Note
from services.training_service.trainer.hyperparameters import Hyperparameters


class JobState(StrEnum):
    """Where a job stands. The names are those of the contract without their prefix."""

    QUEUED = "QUEUED"
    PROVISIONING = "PROVISIONING"
    RUNNING = "RUNNING"
    PUBLISHING = "PUBLISHING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "SUCCEEDED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    RELEASED = "RELEASED"
    INFRASTRUCTURE_FAILURE = "INFRASTRUCTURE_FAILURE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    INVALID = "INVALID"


class Phase(StrEnum):
    """What a running job is at."""

    UNSPECIFIED = "UNSPECIFIED"
    FETCHING = "FETCHING"
    LOADING_MODEL = "LOADING_MODEL"
    PREPARING_DATA = "PREPARING_DATA"
    TRAINING = "TRAINING"
    EVALUATING = "EVALUATING"
    SAVING = "SAVING"


# Nothing follows these.
ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
# An attempt holds a lease in these.
LEASED = frozenset({JobState.PROVISIONING, JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING})

# Which state may follow which; the database compares every change with the same table.
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.PROVISIONING, JobState.PAUSED, JobState.CANCELLED}),
    JobState.PROVISIONING: frozenset(
        {
            JobState.RUNNING,
            JobState.QUEUED,
            JobState.PAUSING,
            JobState.CANCELLING,
            JobState.PUBLISHING,
            JobState.FAILED,
        }
    ),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.PAUSING, JobState.CANCELLING, JobState.PUBLISHING, JobState.FAILED}
    ),
    JobState.PAUSING: frozenset({JobState.PAUSED, JobState.CANCELLING, JobState.PUBLISHING, JobState.FAILED}),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.PUBLISHING: frozenset({JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something failed: a stable reason, and what happened and what to do in both languages."""

    reason: str
    en: str
    ja: str


@dataclass(frozen=True, kw_only=True)
class NodeFailure:
    """What one node of an attempt told, whose first node is yet to end it."""

    outcome: Outcome
    failure: Failure | None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a job is made from, with every name resolved, every digest pinned and every default filled in."""

    base_model: str
    base_model_digest: str
    dataset_version: str
    dataset_digest: str
    hyperparameters: Hyperparameters
    model: str
    eval_dataset_version: str = ""
    eval_dataset_digest: str = ""
    # The trained version to go on from; empty for the base model itself.
    start_from: str = ""
    start_from_digest: str = ""
    sample_prompts: tuple[str, ...] = ()
    # 0: one per GPU of the worker, or one without any.
    processes: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is. Loss and rate are the latest; `remaining_s` is None while unknown."""

    phase: Phase = Phase.UNSPECIFIED
    step: int = 0
    total_steps: int = 0
    phase_fraction: float = 0.0
    loss: float = 0.0
    tokens_per_second: float = 0.0
    remaining_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as it is stored."""

    tenant: str
    id: str
    uid: str
    display_name: str
    # Who asked for it; calls to other services on its behalf name them.
    principal: str
    spec: Spec
    # How rows become prompt and completion, as services/text reads it.
    template_json: str
    # The sweep that it belongs to; empty for a job of its own.
    sweep: str = ""
    # What to know, though it was accepted.
    notes: tuple[Note, ...] = ()
    # Hyperparameters that later attempts use instead, after memory was not enough.
    adjustments: Mapping[str, Any] = field(default_factory=dict)
    state: JobState = JobState.QUEUED
    progress: Progress = field(default_factory=Progress)
    priority: int = 50
    attempt: int = 0
    fence: int = 0
    worker: str = ""
    # Of each process on a machine without GPUs, as planned.
    memory_bytes: int = 0
    # How many train together, fixed by the first claim; 0 before.
    processes: int = 0
    # Attempts lost since the newest checkpoint.
    lost_attempts: int = 0
    # Newest number of the attempt's own count of events.
    attempt_sequence: int = 0
    # Of the running attempt; None while all of its nodes are well.
    node_failure: NodeFailure | None = None
    last_sequence: int = 0
    model_version: str = ""
    failure: Failure | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    create_time: datetime
    update_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return f"trainingJobs/{self.id}"

    @property
    def hyperparameters(self) -> Hyperparameters:
        """What the next attempt trains with."""
        return replace(self.spec.hyperparameters, **self.adjustments)


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of a checkpoint or a result in the object store."""

    path: str
    size_bytes: int
    sha256: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A committed state of the training to go on from."""

    job_id: str
    step: int
    attempt: int
    files: tuple[StoredFile, ...]
    eval_loss: float | None
    create_time: datetime

    @property
    def name(self) -> str:
        """The resource name."""
        return f"trainingJobs/{self.job_id}/checkpoints/{self.step}"

    @property
    def size_bytes(self) -> int:
        """Length of all files."""
        return sum(file.size_bytes for file in self.files)
