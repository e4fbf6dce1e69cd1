"""What happens to a job, as rows of its event list. `content` is a serialised TrainingEvent with nothing but its
content, so that a watcher's stream costs one parse an event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aift.training.v1 import training_pb2 as pb

from services.training_service import messages
from services.training_service.domain import Checkpoint, Failure, JobState


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """One event before it has its sequence. Without a time the database's clock says it."""

    kind: str
    content: bytes
    time: datetime | None = None


def _of(kind: str, time: datetime | None = None, **content: Any) -> NewEvent:
    return NewEvent(kind=kind, content=pb.TrainingEvent(**content).SerializeToString(), time=time)


def state_changed(state: JobState, *, failure: Failure | None = None, model_version: str = "") -> NewEvent:
    """The state is another one from now on."""
    message = pb.StateChanged(
        state=messages.state_to(state),
        failure=messages.failure_to(failure) if failure else None,
        model_version=model_version,
    )
    return _of("state", state_changed=message)


def checkpoint(saved: Checkpoint) -> NewEvent:
    """A checkpoint is safe."""
    return _of("checkpoint", checkpoint=messages.checkpoint_to(saved))


def recovery(cause: Failure, *, from_step: int, adjustments: dict[str, Any] | None) -> NewEvent:
    """An attempt was lost and the job goes on."""
    message = pb.Recovery(
        cause=messages.failure_to(cause),
        from_step=from_step,
        adjustments=messages.hyperparameters_to(adjustments) if adjustments else None,
    )
    return _of("recovery", recovery=message)


def reported(kind: str, message: Any, time: datetime) -> NewEvent:
    """What an agent told: `kind` is "progress", "metric", "sample", "log" or "stall"."""
    return _of(kind, time, **{kind: message})


def event(*, sequence: int, attempt: int, time: datetime, content: bytes) -> pb.TrainingEvent:
    """A stored row as clients see it."""
    message = pb.TrainingEvent.FromString(content)
    message.sequence = sequence
    message.attempt = attempt
    message.time.FromDatetime(time)
    return message
