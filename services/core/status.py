"""The one place where a domain error becomes a google.rpc.Status and a gRPC code."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.core.errors import BOTH, DomainError, Violation

DOMAIN = "aift"
MAX_VIOLATIONS = 10
# Trailers break at 16 KiB, and base64 and the percent-encoded message come on top.
MAX_BYTES = 6 * 1024
_MAX_TEXT = 300  # characters of one message in one language
_MAX_VIOLATION_TEXT = 120
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


def translate(error: DomainError, wanted: tuple[str, ...] = BOTH, request_id: str = "") -> status_pb2.Status:
    """The status that the client sees, always below 6 KiB: at most ten violations, with their total as metadata."""
    message = " / ".join(_cut(error.text(language), _MAX_TEXT) for language in wanted)
    status = status_pb2.Status(code=code_of(error).value[0], message=message)
    details: list[Message] = [_error_info(error)]
    if error.retry_after_s is not None:
        details.append(_retry_info(error.retry_after_s))
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    for language in wanted:
        text = _cut(error.text(language), _MAX_TEXT)
        details.append(error_details_pb2.LocalizedMessage(locale=language, message=text))
    status.details.extend(_pack(detail) for detail in details)
    for count in range(min(len(error.violations), MAX_VIOLATIONS), 0, -1):
        packed = _pack(_bad_request(error.violations[:count], wanted))
        if status.ByteSize() + packed.ByteSize() + 8 < MAX_BYTES:
            status.details.append(packed)
            break
    return status


def _error_info(error: DomainError) -> error_details_pb2.ErrorInfo:
    metadata = {key: _cut(str(value), _MAX_METADATA) for key, value in list(error.params.items())[:8]}
    if error.violations:
        metadata["violations_total"] = str(len(error.violations))
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(int(seconds * 1000))
    return info


def _bad_request(violations: tuple[Violation, ...], wanted: tuple[str, ...]) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(field_violations=[_field_violation(v, wanted) for v in violations])


def _field_violation(violation: Violation, wanted: tuple[str, ...]) -> error_details_pb2.BadRequest.FieldViolation:
    texts = {"en": _cut(violation.en, _MAX_VIOLATION_TEXT), "ja": _cut(violation.ja, _MAX_VIOLATION_TEXT)}
    return error_details_pb2.BadRequest.FieldViolation(
        field=_cut(violation.field, _MAX_VIOLATION_TEXT),
        reason=violation.reason,
        description=" / ".join(texts[language] for language in wanted),
    )


def _pack(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
