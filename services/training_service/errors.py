"""What can go wrong with training jobs, beyond what every service knows."""

from collections.abc import Sequence

from services.core.errors import DomainError, Violation


class BaseModelNotReady(DomainError):
    """The base model is still being imported, or its import failed."""

    reason = "BASE_MODEL_NOT_READY"
    status = "FAILED_PRECONDITION"
    en = "{base_model} is {state}. Wait until its import is READY, or import it again."
    ja = "{base_model} の状態は {state} です。取り込みが完了 (READY) するまで待つか、取り込み直してください。"

    def __init__(self, base_model: str, *, state: str) -> None:
        super().__init__(base_model=base_model, state=state)


class SpecDoesNotFit(DomainError):
    """Base model, data and hyperparameters are each valid, but not together."""

    reason = "SPEC_DOES_NOT_FIT"
    status = "FAILED_PRECONDITION"
    en = "The job does not fit its base model or data: {fields}."
    ja = "ジョブの設定がベースモデルまたはデータに合いません: {fields}。"

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations=violations, fields=", ".join(dict.fromkeys(v.field for v in violations[:5])))


class JobHasEnded(DomainError):
    """A job that has ended cannot be moved."""

    reason = "JOB_HAS_ENDED"
    status = "FAILED_PRECONDITION"
    en = "{job} has ended as {state} and stays so."
    ja = "{job} は既に終了しています ({state})。変更できません。"

    def __init__(self, job: str, *, state: str) -> None:
        super().__init__(job=job, state=state)


class JobIsPublishing(DomainError):
    """The registry is taking the result over; nothing can stop that half-way."""

    reason = "JOB_IS_PUBLISHING"
    status = "FAILED_PRECONDITION"
    en = "{job} has finished training and is being registered. Wait a moment; delete the model version if unwanted."
    ja = "{job} は学習を終え、モデルを登録中です。少し待ち、不要であればモデルのバージョンを削除してください。"

    def __init__(self, job: str) -> None:
        super().__init__(job=job)


class JobIsStopping(DomainError):
    """The job is on its way to a stop already."""

    reason = "JOB_IS_STOPPING"
    status = "FAILED_PRECONDITION"
    en = "{job} is {state}. Wait until it has stopped."
    ja = "{job} は停止処理中です ({state})。停止するまで待ってください。"

    def __init__(self, job: str, *, state: str) -> None:
        super().__init__(job=job, state=state)


class JobHasNotEnded(DomainError):
    """Only jobs that have ended are deleted."""

    reason = "JOB_HAS_NOT_ENDED"
    status = "FAILED_PRECONDITION"
    en = "{job} is {state}. Cancel it first, then delete it."
    ja = "{job} は {state} です。先にキャンセルしてから削除してください。"

    def __init__(self, job: str, *, state: str) -> None:
        super().__init__(job=job, state=state)


class NotYourAttempt(DomainError):
    """A token of one attempt was used for another."""

    reason = "NOT_YOUR_ATTEMPT"
    status = "PERMISSION_DENIED"
    en = "The token does not belong to {attempt}. An agent writes for its own attempt only."
    ja = "このトークンは {attempt} のものではありません。エージェントは自分の試行にだけ書き込めます。"

    def __init__(self, attempt: str) -> None:
        super().__init__(attempt=attempt)


class FileMissing(DomainError):
    """A file that is named as written is not there, or has another length."""

    reason = "FILE_MISSING"
    status = "FAILED_PRECONDITION"
    en = "{path} is not stored as announced: {found} of {expected} bytes. Write it again."
    ja = "{path} が保存されていません ({expected} バイト中 {found} バイト)。もう一度書き込んでください。"

    def __init__(self, path: str, *, expected: int, found: int) -> None:
        super().__init__(path=path, expected=expected, found=found)


class InputsGone(DomainError):
    """Data or base model of a job were deleted, or are no longer those that it was accepted with."""

    reason = "INPUTS_GONE"
    status = "FAILED_PRECONDITION"
    en = "{resource} is no longer what the job was accepted with. Start a new job."
    ja = "{resource} はジョブ受付時のものではなくなりました。新しいジョブを開始してください。"

    def __init__(self, resource: str) -> None:
        super().__init__(resource=resource)


class QuotaReached(DomainError):
    """The tenant has as much as it may have at once."""

    reason = "QUOTA_REACHED"
    status = "RESOURCE_EXHAUSTED"
    en = (
        "At most {limit} {what} at once: {used} are in use, and this job asks for {asked} more. "
        "Wait until others have ended, cancel one, or have the limit raised."
    )
    ja = (
        "{what_ja}の上限は {limit} です（使用中 {used}、このジョブの要求 {asked}）。"
        "他のジョブの終了を待つか、いずれかを中止するか、管理者に上限の引き上げを依頼してください。"
    )

    def __init__(self, what: str, what_ja: str, *, limit: int, used: int, asked: int) -> None:
        super().__init__(what=what, what_ja=what_ja, limit=limit, used=used, asked=asked)
