"""The one place where a domain error becomes a google.rpc.Status and a gRPC code."""

from itertools import product

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.core.errors import BOTH, DomainError, Violation

DOMAIN = "aift"
MAX_VIOLATIONS = 10
# gRPC refuses trailers above 8 KiB at random, and all above 16 KiB. Half a KiB is for what else they hold.
MAX_BYTES = 8 * 1024 - 512
# Characters of each text, tried in turn: texts are cut only where not even one whole violation would fit.
_TEXT_LIMITS = (MAX_BYTES, 300, 100, 40)
_MAX_METADATA = 200


def languages(accept_language: str | None) -> tuple[str, ...]:
    """The languages to answer in: the first of ja and en that the client names, both when it names neither."""
    for part in (accept_language or "").split(","):
        language = part.split(";")[0].strip().lower()[:2]
        if language in BOTH:
            return (language,)
    return BOTH


def code_of(error: DomainError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return grpc.StatusCode[error.status]


def trailers_bytes(status: status_pb2.Status) -> int:
    """What a status takes of a call's trailers: its details in base64, and its message once more, percent-encoded."""
    message = sum(1 if 32 <= byte < 127 else 3 for byte in status.message.encode())
    details: int = status.ByteSize() * 4 // 3
    return message + details


def translate(error: DomainError, wanted: tuple[str, ...] = BOTH, request_id: str = "") -> status_pb2.Status:
    """The status that the client sees, small enough for trailers: at most ten violations, with their total as metadata."""
    counts = range(min(len(error.violations), MAX_VIOLATIONS), 0, -1) or (0,)
    for limit, count in product(_TEXT_LIMITS, counts):
        status = _status(error, wanted, request_id, count, limit)
        if trailers_bytes(status) < MAX_BYTES:
            break
    return status


def _status(
    error: DomainError, wanted: tuple[str, ...], request_id: str, violations: int, limit: int
) -> status_pb2.Status:
    texts = {language: _cut(error.text(language), limit) for language in wanted}
    details: list[Message] = [_error_info(error, limit)]
    if error.retry_after_s is not None:
        details.append(_retry_info(error.retry_after_s))
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    details += [error_details_pb2.LocalizedMessage(locale=language, message=text) for language, text in texts.items()]
    if violations:
        shown = [_field_violation(violation, wanted, limit) for violation in error.violations[:violations]]
        details.append(error_details_pb2.BadRequest(field_violations=shown))
    return status_pb2.Status(
        code=code_of(error).value[0], message=" / ".join(texts.values()), details=[_pack(detail) for detail in details]
    )


def _error_info(error: DomainError, limit: int) -> error_details_pb2.ErrorInfo:
    metadata = {key: _cut(str(value), min(limit, _MAX_METADATA)) for key, value in list(error.params.items())[:8]}
    if error.violations:
        metadata["violations_total"] = str(len(error.violations))
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(int(seconds * 1000))
    return info


def _field_violation(
    violation: Violation, wanted: tuple[str, ...], limit: int
) -> error_details_pb2.BadRequest.FieldViolation:
    texts = {"en": violation.en, "ja": violation.ja}
    return error_details_pb2.BadRequest.FieldViolation(
        field=_cut(violation.field, limit),
        reason=violation.reason,
        description=" / ".join(_cut(texts[language], limit) for language in wanted),
    )


def _pack(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
