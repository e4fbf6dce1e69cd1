"""What can go wrong, in the words of the domain. Standard library only; `status` turns these into gRPC, once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

BOTH = ("en", "ja")
"""The languages that everything is said in."""


@dataclass(frozen=True)
class Violation:
    """One field that is wrong: its path as in the request, a stable reason, and what to do about it."""

    field: str
    reason: str
    en: str
    ja: str


class PortTaken(RuntimeError):
    """Another program listens on the address. For whoever starts a process, not for a client."""


class DomainError(Exception):
    """An error that a client may see. `en` and `ja` are format templates over the parameters.

    Parameters also travel as ErrorInfo metadata, so they must be fit for the client's eyes.
    """

    reason: ClassVar[str]
    status: ClassVar[str]
    en: ClassVar[str]
    ja: ClassVar[str]

    def __init__(
        self, *, violations: Sequence[Violation] = (), retry_after_s: float | None = None, **params: object
    ) -> None:
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.params = params
        super().__init__(self.text("en"))

    def text(self, language: str) -> str:
        """The message in "en" or "ja"."""
        return (self.ja if language == "ja" else self.en).format_map(self.params)


def catalogue(kind: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    """Every kind of error below `kind` that has been imported and can be raised."""
    for child in kind.__subclasses__():
        if "reason" in child.__dict__:
            yield child
        yield from catalogue(child)


class InvalidArgument(DomainError):
    """A field of the request is wrong; the violations name each."""

    reason = "INVALID_ARGUMENT"
    status = "INVALID_ARGUMENT"
    en = "The request has {count} invalid field(s): {fields}."
    ja = "リクエストの {count} 個のフィールドが正しくありません: {fields}。"

    def __init__(self, violations: Sequence[Violation], *, retry_after_s: float | None = None) -> None:
        fields = ", ".join(dict.fromkeys(v.field for v in violations[:5]))
        super().__init__(violations=violations, retry_after_s=retry_after_s, count=len(violations), fields=fields)

    @classmethod
    def field(cls, field: str, reason: str, en: str, ja: str) -> "InvalidArgument":
        """The error of one field."""
        return cls([Violation(field, reason, en, ja)])


class NotFound(DomainError):
    """The resource does not exist in the caller's tenant; `field` is where the request names it, if it names several."""

    reason = "NOT_FOUND"
    status = "NOT_FOUND"
    en = "{resource} does not exist."
    ja = "{resource} は存在しません。"

    def __init__(self, resource: str, *, field: str = "") -> None:
        en, ja = f"Names {resource}, which does not exist.", f"存在しない {resource} が指定されています。"
        super().__init__(violations=[Violation(field, self.reason, en, ja)] if field else (), resource=resource)


class AlreadyExists(DomainError):
    """The id is taken."""

    reason = "ALREADY_EXISTS"
    status = "ALREADY_EXISTS"
    en = "{resource} exists already. Choose another id."
    ja = "{resource} は既に存在します。別の ID を指定してください。"

    def __init__(self, resource: str) -> None:
        super().__init__(resource=resource)


class FailedPrecondition(DomainError):
    """The resource is in a state in which this cannot be done."""

    reason = "FAILED_PRECONDITION"
    status = "FAILED_PRECONDITION"
    en = "{resource} is {state}; this needs {needed}."
    ja = "{resource} の状態は {state} です。この操作には {needed} が必要です。"

    def __init__(self, resource: str, *, state: str, needed: str) -> None:
        super().__init__(resource=resource, state=state, needed=needed)


class RequestIdReused(DomainError):
    """The request_id was used with another payload."""

    reason = "REQUEST_ID_REUSED"
    status = "ALREADY_EXISTS"
    en = "request_id {request_id} was used before with another request. Use a new one for each new request."
    ja = "request_id {request_id} は別の内容のリクエストで使用済みです。新しいリクエストには新しい値を使ってください。"

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id=request_id)


class EtagMismatch(DomainError):
    """The resource changed since the client read it."""

    reason = "ETAG_MISMATCH"
    status = "ABORTED"
    en = "{resource} was changed by someone else. Read it again and repeat the change."
    ja = "{resource} は他の操作で変更されています。読み直してから再度変更してください。"

    def __init__(self, resource: str) -> None:
        super().__init__(resource=resource)


class StaleFence(DomainError):
    """A newer attempt holds the work; the writer must stop."""

    reason = "STALE_FENCE"
    status = "ABORTED"
    en = "Fence {fence} of {resource} is not the current one. Another attempt has taken over; stop this one."
    ja = "{resource} のフェンス {fence} は最新ではありません。別の試行が引き継いだため、この試行を停止してください。"

    def __init__(self, resource: str, *, fence: int) -> None:
        super().__init__(resource=resource, fence=fence)


class Unauthenticated(DomainError):
    """No valid token came with the call. Why a token is refused is in the log only."""

    reason = "UNAUTHENTICATED"
    status = "UNAUTHENTICATED"
    en = "A valid token is needed in the metadata: authorization: Bearer <token>."
    ja = "有効なトークンが必要です。メタデータに authorization: Bearer <token> を指定してください。"


class PermissionDenied(DomainError):
    """The caller's role may not do this."""

    reason = "PERMISSION_DENIED"
    status = "PERMISSION_DENIED"
    en = "The role {role} may not call {method}. Allowed: {allowed}."
    ja = "ロール {role} は {method} を呼び出せません。許可されているロール: {allowed}。"

    def __init__(self, *, role: str, method: str, allowed: str) -> None:
        super().__init__(role=role, method=method, allowed=allowed or "none")


class Unavailable(DomainError):
    """Something that is needed cannot be reached now."""

    reason = "UNAVAILABLE"
    status = "UNAVAILABLE"
    en = "{dependency} cannot be reached at the moment. Try again in a moment."
    ja = "{dependency} に現在接続できません。しばらくしてから再試行してください。"

    def __init__(self, dependency: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(dependency=dependency, retry_after_s=retry_after_s)


class Draining(DomainError):
    """This process is stopping; another one, or its successor, answers."""

    reason = "DRAINING"
    status = "UNAVAILABLE"
    en = "The service is stopping. Try again in a moment."
    ja = "サービスを停止しています。しばらくしてから再試行してください。"

    def __init__(self) -> None:
        super().__init__(retry_after_s=1.0)


class ResourceExhausted(DomainError):
    """A limit is reached."""

    reason = "RESOURCE_EXHAUSTED"
    status = "RESOURCE_EXHAUSTED"
    en = "The limit of {what} is reached: {limit}."
    ja = "{what} の上限に達しました: {limit}。"

    def __init__(self, what: str, *, limit: object, retry_after_s: float | None = None) -> None:
        super().__init__(what=what, limit=limit, retry_after_s=retry_after_s)


class DiskFull(DomainError):
    """Something cannot be written."""

    reason = "DISK_FULL"
    status = "RESOURCE_EXHAUSTED"
    en = (
        "The server has no room left on its disk or in its object store. Free some, or delete data sets and models that "
        "are not needed, then try again."
    )
    ja = (
        "サーバーのディスクまたはオブジェクトストアに空きがありません。空きを作るか、不要なデータセットやモデルを"
        "削除してから、もう一度お試しください。"
    )


class OutOfRange(DomainError):
    """A position lies outside what is there; metadata tells where to go on."""

    reason = "OUT_OF_RANGE"
    status = "OUT_OF_RANGE"
    en = "{field} {value} is out of range; go on at {expected}."
    ja = "{field} {value} は範囲外です。{expected} から続けてください。"

    def __init__(self, field: str, *, value: int, expected: int) -> None:
        super().__init__(field=field, value=value, expected=expected)


class DeadlineExceeded(DomainError):
    """The call took longer than it may."""

    reason = "DEADLINE_EXCEEDED"
    status = "DEADLINE_EXCEEDED"
    en = "The call took longer than {seconds} s. Set a longer deadline if it needs one."
    ja = "呼び出しが {seconds} 秒以内に終わりませんでした。必要であればデッドラインを長くしてください。"

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds=seconds)


class DigestMismatch(DomainError):
    """Bytes are not those that their SHA-256 names."""

    reason = "DIGEST_MISMATCH"
    status = "DATA_LOSS"
    en = "The content of {what} has SHA-256 {actual}, expected {expected}."
    ja = "{what} の SHA-256 は {actual} で、期待値 {expected} と一致しません。"

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        super().__init__(what=what, expected=expected, actual=actual)


class ContentMissing(DomainError):
    """The database names bytes that the object store does not have."""

    reason = "CONTENT_MISSING"
    status = "DATA_LOSS"
    en = "Stored content {what} is missing from the object store."
    ja = "保存された内容 {what} がオブジェクトストアに見つかりません。"

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


class Internal(DomainError):
    """A fault of ours; the log has the rest under the request id."""

    reason = "INTERNAL"
    status = "INTERNAL"
    en = "An internal error occurred. Give this request id when you report it: {request_id}"
    ja = "内部エラーが発生しました。報告の際は次のリクエスト ID をお知らせください: {request_id}"

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id=request_id)
