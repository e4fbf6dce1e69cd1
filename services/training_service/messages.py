"""From the contract's messages to the domain and back. Nothing else here knows both."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, get_args

from aift.common.v1 import blob_pb2
from aift.training.v1 import training_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.core.errors import InvalidArgument, Violation
from services.training_service.domain import Checkpoint, Failure, Job, JobState, Phase, Progress, Spec
from services.training_service.notes import Note
from services.training_service.trainer.hyperparameters import (
    Hyperparameters,
    Method,
    Objective,
    Offload,
    Optim,
    Schedule,
)

_SPEC = "training_job.spec"
_METHODS = {pb.TrainingMethod.Value(f"TRAINING_METHOD_{m.upper()}"): m for m in get_args(Method)}
_SCHEDULES = {pb.LearningRateSchedule.Value(f"LEARNING_RATE_SCHEDULE_{s.upper()}"): s for s in get_args(Schedule)}
_OBJECTIVES = {pb.TrainingObjective.Value(f"TRAINING_OBJECTIVE_{o.upper()}"): o for o in get_args(Objective)}
_OFFLOADS = {pb.OffloadDevice.Value(f"OFFLOAD_DEVICE_{o.upper()}"): o for o in get_args(Offload)}
_OPTIMIZERS = {pb.Optimizer.Value(f"OPTIMIZER_{o.upper()}"): o for o in get_args(Optim)}
_ENUMS: dict[str, dict[Any, str]] = {
    "method": _METHODS,
    "lr_scheduler_type": _SCHEDULES,
    "objective": _OBJECTIVES,
    "offload_optimizer": _OFFLOADS,
    "offload_param": _OFFLOADS,
    "optim": _OPTIMIZERS,
}


def hyperparameters_from(message: pb.Hyperparameters, *, path: str = f"{_SPEC}.hyperparameters") -> Hyperparameters:
    """What the client set, with defaults for the rest. Raises InvalidArgument naming every field that is wrong."""
    values: dict[str, Any] = {}
    violations: list[Violation] = []
    for field, value in message.ListFields():
        if field.name in _ENUMS:
            known = _ENUMS[field.name]
            if value in known:
                values[field.name] = known[value]
            else:
                violations.append(_unknown_enum(f"{path}.{field.name}", value, known))
        else:
            values[field.name] = tuple(value) if field.is_repeated else value
    parsed = Hyperparameters(**values)
    violations += [Violation(p.field, p.reason, p.en, p.ja) for p in parsed.problems(path)]
    if violations:
        raise InvalidArgument(violations)
    return parsed


def _unknown_enum(name: str, value: int, known: Mapping[Any, str]) -> Violation:
    names = ", ".join(item.upper() for item in known.values())
    return Violation(
        name,
        "UNKNOWN_VALUE",
        f"Is {value}; choose one of {names}.",
        f"値 {value} は未対応です。{names} から選んでください。",
    )


def hyperparameters_to(values: Hyperparameters | Mapping[str, Any]) -> pb.Hyperparameters:
    """The message with every field of the dataclass, or only those of a mapping, set."""
    given = values if isinstance(values, Mapping) else {f.name: getattr(values, f.name) for f in fields(values)}
    message = pb.Hyperparameters()
    for name, value in given.items():
        if name in _ENUMS:
            setattr(message, name, next(number for number, text in _ENUMS[name].items() if text == value))
        elif isinstance(value, (list, tuple)):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def spec_to(spec: Spec) -> pb.TrainingSpec:
    """The resolved spec."""
    return pb.TrainingSpec(
        base_model=spec.base_model,
        base_model_digest=spec.base_model_digest,
        dataset_version=spec.dataset_version,
        dataset_digest=spec.dataset_digest,
        eval_dataset_version=spec.eval_dataset_version,
        eval_dataset_digest=spec.eval_dataset_digest,
        start_from=spec.start_from,
        start_from_digest=spec.start_from_digest,
        hyperparameters=hyperparameters_to(spec.hyperparameters),
        model=spec.model,
        sample_prompts=spec.sample_prompts,
        processes=spec.processes,
    )


def job_to(job: Job) -> pb.TrainingJob:
    """The job as clients see it."""
    message = pb.TrainingJob(
        name=job.name,
        uid=job.uid,
        etag=etag(job),
        display_name=job.display_name,
        spec=spec_to(job.spec),
        state=state_to(job.state),
        progress=progress_to(job.progress),
        priority=job.priority,
        sweep=job.sweep,
        notes=map(note_to, job.notes),
        attempt=job.attempt,
        worker=job.worker,
        model_version=job.model_version,
        metrics=dict(job.metrics),
        last_sequence=job.last_sequence,
        create_time=timestamp(job.create_time),
        start_time=timestamp(job.start_time),
        end_time=timestamp(job.end_time),
        update_time=timestamp(job.update_time),
    )
    if job.adjustments:
        message.adjustments.CopyFrom(hyperparameters_to(job.adjustments))
    if job.failure is not None:
        message.failure.CopyFrom(failure_to(job.failure))
    return message


def note_to(note: Note) -> blob_pb2.LocalizedText:
    """The note in both languages."""
    return blob_pb2.LocalizedText(en=note.en, ja=note.ja)


def etag(job: Job) -> str:
    """Changes with every change: each one moves update_time."""
    return f"{job.uid[:8]}-{int(job.update_time.timestamp() * 1_000_000):x}"


def state_to(state: JobState) -> "pb.TrainingJobState.ValueType":
    """The enum's value."""
    return pb.TrainingJobState.Value(f"TRAINING_JOB_STATE_{state}")


def state_from(value: "pb.TrainingJobState.ValueType", *, field: str) -> JobState:
    """The state of a filter. Raises InvalidArgument for UNSPECIFIED or a value that is not known."""
    known = {state_to(state): state for state in JobState}
    if value not in known:
        raise InvalidArgument.field(
            field, "UNKNOWN_VALUE", f"{value} is not a state of a job.", f"{value} はジョブの状態ではありません。"
        )
    return known[value]


def progress_to(progress: Progress) -> pb.TrainingProgress:
    """How far a job is."""
    message = pb.TrainingProgress(
        phase=pb.TrainingPhase.Value(f"TRAINING_PHASE_{progress.phase}"),
        step=progress.step,
        total_steps=progress.total_steps,
        phase_fraction=progress.phase_fraction,
        loss=progress.loss,
        tokens_per_second=progress.tokens_per_second,
    )
    if progress.remaining_s is not None:
        message.remaining.CopyFrom(duration(progress.remaining_s))
    return message


def progress_from(message: pb.TrainingProgress) -> Progress:
    """The other way round; a phase that we do not know counts as none."""
    known = {f"TRAINING_PHASE_{phase}": phase for phase in Phase}
    value = pb.TrainingPhase.DESCRIPTOR.values_by_number.get(message.phase)
    return Progress(
        phase=known[value.name] if value else Phase.UNSPECIFIED,
        step=message.step,
        total_steps=message.total_steps,
        phase_fraction=message.phase_fraction,
        loss=message.loss,
        tokens_per_second=message.tokens_per_second,
        remaining_s=message.remaining.ToTimedelta().total_seconds() if message.HasField("remaining") else None,
    )


def failure_to(failure: Failure) -> blob_pb2.Failure:
    """Why something failed."""
    text = blob_pb2.LocalizedText(en=failure.en, ja=failure.ja)
    return blob_pb2.Failure(reason=failure.reason, message=text)


def failure_from(message: blob_pb2.Failure) -> Failure:
    """The other way round."""
    return Failure(reason=message.reason, en=message.message.en, ja=message.message.ja)


def checkpoint_to(checkpoint: Checkpoint) -> pb.Checkpoint:
    """A committed checkpoint."""
    return pb.Checkpoint(
        name=checkpoint.name,
        step=checkpoint.step,
        size_bytes=checkpoint.size_bytes,
        attempt=checkpoint.attempt,
        create_time=timestamp(checkpoint.create_time),
    )


def timestamp(time: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def duration(seconds: float) -> Duration:
    """Seconds as a Duration, to the millisecond."""
    message = Duration()
    message.FromMilliseconds(int(seconds * 1000))
    return message
