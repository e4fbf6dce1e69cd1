"""What becomes of a job when someone asks, when an attempt ends, and when one is lost."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.training_service.domain import ENDED, Failure, JobState, Outcome
from services.training_service.errors import JobHasEnded, JobIsPublishing, JobIsStopping
from services.training_service.trainer.hyperparameters import Hyperparameters

_CANCELLED: Mapping[JobState, JobState] = {
    JobState.QUEUED: JobState.CANCELLED,
    JobState.PAUSED: JobState.CANCELLED,
    JobState.PROVISIONING: JobState.CANCELLING,
    JobState.RUNNING: JobState.CANCELLING,
    JobState.PAUSING: JobState.CANCELLING,
    JobState.CANCELLING: JobState.CANCELLING,
    JobState.CANCELLED: JobState.CANCELLED,
}
_PAUSED: Mapping[JobState, JobState] = {
    JobState.QUEUED: JobState.PAUSED,
    JobState.PROVISIONING: JobState.PAUSING,
    JobState.RUNNING: JobState.PAUSING,
    JobState.PAUSING: JobState.PAUSING,
    JobState.PAUSED: JobState.PAUSED,
}
_RESUMED: Mapping[JobState, JobState] = {
    JobState.PAUSED: JobState.QUEUED,
    # A repeated call finds the job where the first one brought it.
    JobState.QUEUED: JobState.QUEUED,
    JobState.PROVISIONING: JobState.PROVISIONING,
    JobState.RUNNING: JobState.RUNNING,
}
# Where a job rests that was about to stop when its attempt ended in whatever way.
_STOPPED: Mapping[JobState, JobState] = {
    JobState.PAUSING: JobState.PAUSED,
    JobState.CANCELLING: JobState.CANCELLED,
}


# The stage of DeepSpeed at which weights are shared out too.
_SHARES_WEIGHTS = 3


def after_cancel(job: str, state: JobState) -> JobState:
    """The state after CancelTrainingJob. Raises JobHasEnded or JobIsPublishing."""
    return _after(_CANCELLED, job, state)


def after_pause(job: str, state: JobState) -> JobState:
    """The state after PauseTrainingJob. Raises JobHasEnded, JobIsPublishing or JobIsStopping."""
    return _after(_PAUSED, job, state)


def after_resume(job: str, state: JobState) -> JobState:
    """The state after ResumeTrainingJob. Raises JobHasEnded, JobIsPublishing or JobIsStopping."""
    return _after(_RESUMED, job, state)


def _after(table: Mapping[JobState, JobState], job: str, state: JobState) -> JobState:
    if state in table:
        return table[state]
    if state in ENDED:
        raise JobHasEnded(job, state=state)
    if state is JobState.PUBLISHING:
        raise JobIsPublishing(job)
    raise JobIsStopping(job, state=state)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a job whose attempt ended."""

    state: JobState
    # Attempts lost since the newest checkpoint.
    lost_attempts: int = 0
    # Until the next attempt, in seconds.
    delay_s: float = 0.0
    # What the next attempt does otherwise; all of it, not only what is new.
    adjustments: Mapping[str, int | bool | str] | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a job is tried again without a new checkpoint in between, and how long to wait before."""

    budget: int = 3
    first_delay_s: float = 1.0
    longest_delay_s: float = 60.0

    def delay_s(self, lost: int) -> float:
        """Doubles with each attempt lost in a row."""
        return float(min(self.first_delay_s * 2 ** (lost - 1), self.longest_delay_s))


def after_attempt(
    state: JobState,
    outcome: Outcome,
    *,
    lost_attempts: int,
    hyperparameters: Hyperparameters,
    adjustments: Mapping[str, int | bool | str],
    failure: Failure | None,
    policy: RetryPolicy,
) -> Verdict:
    """What becomes of a job whose attempt ended with `outcome` while the job was in `state`.

    `hyperparameters` are those that the attempt used, `adjustments` included.
    """
    if state is JobState.CANCELLING:
        return Verdict(state=JobState.CANCELLED)
    if outcome is Outcome.SUCCEEDED:
        return Verdict(state=JobState.PUBLISHING)
    if outcome is Outcome.INVALID:
        return Verdict(state=JobState.FAILED, failure=failure)
    if outcome is Outcome.OUT_OF_MEMORY:
        return _after_out_of_memory(state, hyperparameters, adjustments, failure)
    if state in _STOPPED:
        return Verdict(state=_STOPPED[state])
    if outcome in (Outcome.RELEASED, Outcome.PAUSED, Outcome.CANCELLED):
        return Verdict(state=JobState.QUEUED, lost_attempts=lost_attempts)
    return _after_loss(lost_attempts + 1, failure, policy)


def _after_loss(lost: int, failure: Failure | None, policy: RetryPolicy) -> Verdict:
    if lost > policy.budget:
        return Verdict(state=JobState.FAILED, lost_attempts=lost, failure=_retries_used_up(lost, failure))
    return Verdict(state=JobState.QUEUED, lost_attempts=lost, delay_s=policy.delay_s(lost))


def _after_out_of_memory(
    state: JobState,
    hyperparameters: Hyperparameters,
    adjustments: Mapping[str, int | bool | str],
    failure: Failure | None,
) -> Verdict:
    step = less_memory(hyperparameters)
    if step is None:
        return Verdict(state=JobState.FAILED, failure=failure)
    resting = JobState.PAUSED if state is JobState.PAUSING else JobState.QUEUED
    return Verdict(state=resting, adjustments={**adjustments, **step})


def less_memory(hyperparameters: Hyperparameters) -> Mapping[str, int | bool | str] | None:
    """The next step down that changes neither result nor effective batch; None when there is none left.

    Half the micro-batch and twice the accumulation; an odd micro-batch goes to 1, so that the product stays whole. Then
    gradient checkpointing; then, where DeepSpeed shares the training out, what it can move into the machine's memory.
    """
    batch = hyperparameters.per_device_train_batch_size
    accumulation = hyperparameters.gradient_accumulation_steps
    if batch > 1:
        smaller = batch // 2 if batch % 2 == 0 else 1
        return {
            "per_device_train_batch_size": smaller,
            "gradient_accumulation_steps": accumulation * batch // smaller,
        }
    if not hyperparameters.gradient_checkpointing:
        return {"gradient_checkpointing": True}
    if hyperparameters.deepspeed_stage and hyperparameters.offload_optimizer == "none":
        return {"offload_optimizer": "cpu"}
    if hyperparameters.deepspeed_stage == _SHARES_WEIGHTS and hyperparameters.offload_param == "none":
        return {"offload_param": "cpu"}
    return None


def _retries_used_up(lost: int, cause: Failure | None) -> Failure:
    en = cause.en if cause else "The worker was lost."
    ja = cause.ja if cause else "ワーカーとの接続が失われました。"
    return Failure(
        reason=cause.reason if cause else "WORKER_LOST",
        en=f"Given up after {lost} attempts without a new checkpoint. Last cause: {en}",
        ja=f"新しいチェックポイントのないまま {lost} 回失敗したため中止しました。最後の原因: {ja}",
    )
