"""What goes wrong, as one exception with a stable reason and a message in both languages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from aift.common.v1.blob_pb2 import Failure
from aift.language import text


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One field of a request that is wrong."""

    field: str
    reason: str
    message_en: str
    message_ja: str

    @property
    def message(self) -> str:
        """The message in the terminal's language."""
        return text(self.message_en, self.message_ja)


class AiftError(Exception):
    """A call that failed, on this side or in a service.

    reason is stable UPPER_SNAKE; code says what kind of failure it is; retry_after_s is set where waiting helps;
    request_id finds the call in the services' logs and is empty when no call was made.
    """

    def __init__(
        self,
        reason: str,
        code: grpc.StatusCode,
        message_en: str,
        message_ja: str,
        *,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        request_id: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.reason = reason
        self.code = code
        self.message_en = message_en
        self.message_ja = message_ja
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.metadata = dict(metadata or {})
        super().__init__(reason, message_en)

    @property
    def message(self) -> str:
        """The message in the terminal's language."""
        return text(self.message_en, self.message_ja)

    def __str__(self) -> str:
        details = "".join(f"\n  {violation.field}: {violation.message}" for violation in self.violations)
        return f"{self.message} [{self.reason}]{details}"

    def as_dict(self) -> dict[str, object]:
        """What `--json` prints of it."""
        return {
            "reason": self.reason,
            "code": self.code.name,
            "message": {"en": self.message_en, "ja": self.message_ja},
            "violations": [
                {"field": v.field, "reason": v.reason, "message": {"en": v.message_en, "ja": v.message_ja}}
                for v in self.violations
            ],
            "retry_after_s": self.retry_after_s,
            "request_id": self.request_id,
            "metadata": self.metadata,
        }


def invalid(field_name: str, reason: str, en: str, ja: str) -> AiftError:
    """An argument that is refused before any call is made."""
    violation = Violation(field=field_name, reason=reason, message_en=en, message_ja=ja)
    return AiftError(reason, grpc.StatusCode.INVALID_ARGUMENT, en, ja, violations=[violation])


def of_failure(failure: Failure) -> AiftError:
    """Long-running work that failed, as the exception that a call would have raised."""
    en = failure.message.en or failure.message.ja or failure.reason
    ja = failure.message.ja or failure.message.en or failure.reason
    return AiftError(failure.reason or "UNKNOWN", grpc.StatusCode.FAILED_PRECONDITION, en, ja)


def of_call(error: grpc.RpcError, *, request_id: str, service: str, address: str) -> AiftError:
    """A failed call as its exception; reads the details that services send with every error."""
    if not isinstance(error, grpc.Call):
        return AiftError("UNKNOWN", grpc.StatusCode.UNKNOWN, str(error), str(error), request_id=request_id)
    status = _status(error)
    if status is not None and status.details:
        return _of_status(error.code(), status, request_id)
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return _unreachable(error, service, address, request_id)
    message = error.details() or error.code().name
    return AiftError(error.code().name, error.code(), message, message, request_id=request_id)


def _status(error: grpc.Call) -> status_pb2.Status | None:
    try:
        return rpc_status.from_call(error)
    except (ValueError, DecodeError):
        # Details that contradict the status or are no Status at all: the bare code and message still stand.
        return None


def _unreachable(error: grpc.Call, service: str, address: str, request_id: str) -> AiftError:
    cause = error.details() or "UNAVAILABLE"
    return AiftError(
        "SERVICE_UNREACHABLE",
        grpc.StatusCode.UNAVAILABLE,
        f"The {service} service does not answer at {address}. Is AIFT running? Start it with: aift up",
        f"{address} の {service} サービスが応答しません。AIFT は起動していますか。起動するには: aift up",
        request_id=request_id,
        metadata={"service": service, "address": address, "cause": cause},
    )


@dataclass
class _Details:
    info: error_details_pb2.ErrorInfo = field(default_factory=error_details_pb2.ErrorInfo)
    messages: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    retry_after_s: float | None = None


def _of_status(code: grpc.StatusCode, status: status_pb2.Status, request_id: str) -> AiftError:
    details = _read_details(status)
    en = details.messages.get("en") or details.messages.get("ja") or status.message
    ja = details.messages.get("ja") or details.messages.get("en") or status.message
    return AiftError(
        details.info.reason or code.name,
        code,
        en,
        ja,
        violations=details.violations,
        retry_after_s=details.retry_after_s,
        request_id=details.info.metadata.get("request_id", request_id),
        metadata=dict(details.info.metadata),
    )


def _read_details(status: status_pb2.Status) -> _Details:
    details = _Details()
    localized = error_details_pb2.LocalizedMessage()
    retry = error_details_pb2.RetryInfo()
    bad_request = error_details_pb2.BadRequest()
    for packed in status.details:
        if packed.Unpack(localized):
            details.messages[localized.locale[:2]] = localized.message
        elif packed.Unpack(retry):
            details.retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        elif packed.Unpack(bad_request):
            details.violations += [_violation(entry) for entry in bad_request.field_violations]
        else:
            packed.Unpack(details.info)
    return details


def _violation(entry: error_details_pb2.BadRequest.FieldViolation) -> Violation:
    en, ja = _halves(entry.description)
    return Violation(field=entry.field, reason=entry.reason, message_en=en, message_ja=ja)


def _halves(both: str) -> tuple[str, str]:
    """Services write "English / Japanese"; a text of another shape stands for both."""
    parts = both.split(" / ")
    middle = len(parts) // 2
    return (" / ".join(parts[:middle]), " / ".join(parts[middle:])) if len(parts) % 2 == 0 else (both, both)
