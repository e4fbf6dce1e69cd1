"""What a client is told when a service that we called in its name refused."""

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.core.errors import DomainError, Unavailable
from services.core.status import DOMAIN

# What these say is about the client's request. Other codes are about ours.
_RELAYED = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """The rich status of a failed call, None when it has none of ours."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is None:
        return None
    info = error_details_pb2.ErrorInfo()
    ours = any(detail.Unpack(info) and info.domain == DOMAIN for detail in status.details)
    return status if ours else None


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The stable reason of a failed call, empty when it has none of ours."""
    status = status_of(error)
    info = error_details_pb2.ErrorInfo()
    found = status is not None and any(detail.Unpack(info) for detail in status.details)
    return info.reason if found else ""


def relayed(error: grpc.aio.AioRpcError) -> status_pb2.Status | DomainError | None:
    """The other service's status where it concerns the client, Unavailable where it could not be asked, else None."""
    if error.code() in _AWAY:
        return Unavailable("another service")
    return status_of(error) if error.code() in _RELAYED else None
