"""Calls to the other services: one channel an address, carrying our own token and whom we act for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
from grpc.aio import ClientCallDetails, Metadata

from services.core import context
from services.core.errors import Unavailable

MAX_MESSAGE_BYTES = 4 << 20
TENANT_KEY = "x-aift-tenant"
PRINCIPAL_KEY = "x-aift-principal"
TRACE_KEY = "traceparent"
_DEFAULT_DEADLINE_S = 30.0
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # Every RPC of AIFT is safe to repeat: reads by nature, writes by request_id or fence.
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A new channel is a new connection: whoever gives a silent one up must not be given the same again.
    ("grpc.use_local_subchannel_pool", 1),
]


class TokenFile:
    """A token in a file, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._token = ""

    def read(self) -> str:
        """The token. Raises Unavailable while the file is not there."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            raise Unavailable("service token") from None
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._token = self._path.read_text().strip()
            self._stamp = stamp
        return self._token


def channel(
    address: str, token_file: Path | None = None, *, token: Callable[[], str] | None = None
) -> grpc.aio.Channel:
    """A channel to host:port. Close it when done.

    Calls carry the token of the file (or what `token` returns), the tenant and principal of the current call, its
    trace, and a deadline of 30 s when they are unary and none is given. UNAVAILABLE is retried for a few seconds.
    """
    read = token or (TokenFile(token_file).read if token_file is not None else None)
    target = address if "://" in address or address.startswith(("unix:", "dns:")) else f"dns:///{address}"
    interceptors = [kind(read) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
    return grpc.aio.insecure_channel(target, options=_OPTIONS, interceptors=interceptors)


class _Carrying:
    """What is added to every call."""

    def __init__(self, token: Callable[[], str] | None) -> None:
        self._token = token

    def details(self, call: ClientCallDetails, timeout: float | None) -> ClientCallDetails:
        metadata = Metadata(*(call.metadata or ()))
        if self._token is not None:
            metadata["authorization"] = f"Bearer {self._token()}"
        current = context.find()
        if current is not None:
            metadata[TENANT_KEY] = quote(current.tenant)
            metadata[PRINCIPAL_KEY] = quote(current.principal)
        metadata[TRACE_KEY] = context.traceparent(current.request_id if current else context.new_request_id())
        deadline = timeout if call.timeout is None else call.timeout
        return ClientCallDetails(call.method, deadline, metadata, call.credentials, call.wait_for_ready)


# grpc.aio takes an interceptor for the first kind of call that its class names, so each kind needs its own class.
class _UnaryUnary(_Carrying, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details, _DEFAULT_DEADLINE_S), request)


class _UnaryStream(_Carrying, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details, None), request)


class _StreamUnary(_Carrying, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self.details(client_call_details, None), request_iterator)


class _StreamStream(_Carrying, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self.details(client_call_details, None), request_iterator)
