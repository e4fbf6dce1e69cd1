"""What went wrong, as the answer to a plain request."""

from __future__ import annotations

from http import HTTPStatus

import grpc
from aift import AiftError
from starlette.responses import JSONResponse

_STATUS = {
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.INSUFFICIENT_STORAGE,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.INTERNAL: HTTPStatus.BAD_GATEWAY,
    grpc.StatusCode.UNKNOWN: HTTPStatus.BAD_GATEWAY,
}


def refusal(error: AiftError) -> JSONResponse:
    """A call that failed, with its reason in both languages."""
    status = _STATUS.get(error.code, HTTPStatus.BAD_REQUEST)
    body = {"reason": error.reason, "message": {"ja": error.message_ja, "en": error.message_en}}
    return JSONResponse(body, status_code=status)


def refused(status: HTTPStatus, reason: str, ja: str, en: str) -> JSONResponse:
    """A request that is not passed on."""
    return JSONResponse({"reason": reason, "message": {"ja": ja, "en": en}}, status_code=status)
