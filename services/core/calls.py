"""What surrounds every call: who calls, may they, how long, what went wrong, how often. One interceptor for all."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from google.rpc import status_pb2

from services.core import context, wire
from services.core.access import AccessTable
from services.core.auth import Verifier
from services.core.channels import PRINCIPAL_KEY, TENANT_KEY, TRACE_KEY
from services.core.context import Claims, RequestContext
from services.core.errors import DeadlineExceeded, DomainError, Internal, PermissionDenied, Unauthenticated
from services.core.relay import relayed
from services.core.status import languages, translate
from services.core.telemetry import RpcMetrics

log = logging.getLogger(__name__)

_BEARER = "Bearer "
_DETAILS_KEY = "grpc-status-details-bin"
_READ = frozenset({"authorization", TENANT_KEY, PRINCIPAL_KEY, TRACE_KEY, "accept-language"})
_CODES = {code.value[0]: code for code in grpc.StatusCode}
Behavior = Callable[[Any, Any], Any]


class Calls(grpc.aio.ServerInterceptor):
    """Wraps each method once; the wrapped handler is kept, so that a call costs one look-up here.

    `closed` says why calls are not served yet (the service is starting), None once they are.
    """

    def __init__(
        self,
        verifier: Verifier,
        access: AccessTable,
        *,
        default_deadline_s: float,
        closed: Callable[[], DomainError | None] = lambda: None,
    ) -> None:
        self._verifier = verifier
        self._access = access
        self._default_deadline_s = default_deadline_s
        self._closed = closed
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The wrapped handler of a method; None (UNIMPLEMENTED) for one that does not exist."""
        method = handler_call_details.method
        wrapped = self._handlers.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or self._access.roles(method) is None:
                return handler
            wrapped = self._handlers[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), **coders)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._single(method, handler.stream_unary), **coders)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), **coders)
        return grpc.stream_stream_rpc_method_handler(self._stream(method, handler.stream_stream), **coders)

    def _unary(self, method: str, behavior: Behavior) -> Behavior:
        """Adds a deadline where the client set none, and refuses what creating requests may not contain."""
        strict = wire.is_strict(method)

        async def bounded(request: Any, grpc_context: Any) -> Any:
            if strict:
                wire.check(request)
            if grpc_context.time_remaining() is not None:
                return await behavior(request, grpc_context)
            try:
                async with asyncio.timeout(self._default_deadline_s) as timeout:
                    return await behavior(request, grpc_context)
            except TimeoutError as error:
                raise (DeadlineExceeded(self._default_deadline_s) if timeout.expired() else error) from None

        return self._single(method, bounded)

    def _single(self, method: str, behavior: Behavior) -> Behavior:
        metrics = RpcMetrics(method)

        async def serve(request: Any, grpc_context: Any) -> Any:
            started, code = perf_counter(), "OK"
            metrics.began()
            try:
                self._admit(method, grpc_context)
                return await behavior(request, grpc_context)
            except BaseException as error:
                status = self._status_of(error, grpc_context, method)
                code = _name(status, grpc_context)
                await _abort(grpc_context, status)
                raise
            finally:
                metrics.ended(code, perf_counter() - started)

        return serve

    def _stream(self, method: str, behavior: Behavior) -> Behavior:
        if not inspect.isasyncgenfunction(behavior):
            # It writes by context.write; to us it looks like a call with one answer.
            return self._single(method, behavior)
        metrics = RpcMetrics(method)

        async def serve(request: Any, grpc_context: Any) -> AsyncIterator[Any]:
            started, code = perf_counter(), "OK"
            metrics.began()
            try:
                self._admit(method, grpc_context)
                async with aclosing(behavior(request, grpc_context)) as answers:
                    async for answer in answers:
                        yield answer
            except BaseException as error:
                status = self._status_of(error, grpc_context, method)
                code = _name(status, grpc_context)
                await _abort(grpc_context, status)
                raise
            finally:
                metrics.ended(code, perf_counter() - started)

        return serve

    def _admit(self, method: str, grpc_context: Any) -> None:
        """Sets the call's context. Raises a DomainError when it may not go on."""
        said = {key: value for key, value in grpc_context.invocation_metadata() if key in _READ}
        request_id = context.request_id_of(said.get(TRACE_KEY))
        wanted = languages(said.get("accept-language"))
        # Known before the token is: a refusal, too, is logged and answered under this id and in this language.
        nobody = RequestContext(
            tenant="", principal="", role="", request_id=request_id, languages=wanted, method=method
        )
        context.enter(nobody)
        authorization = said.get("authorization", "")
        if not authorization.startswith(_BEARER):
            raise Unauthenticated
        claims = self._verifier.verify(authorization[len(_BEARER) :])
        self._access.check(method, claims.role)
        tenant, principal = _acts_for(said, claims, method)
        context.enter(
            RequestContext(
                tenant=tenant,
                principal=principal,
                role=claims.role,
                request_id=request_id,
                languages=wanted,
                method=method,
                claims=claims,
            )
        )
        closed = self._closed()
        if closed is not None:
            raise closed

    def _status_of(self, error: BaseException, grpc_context: Any, method: str) -> status_pb2.Status | None:
        """What the client is told; None when the handler ended the call itself or nobody waits any more."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError)):
            return None
        call = context.current()
        if isinstance(error, grpc.aio.AioRpcError):
            told = relayed(error)
            if isinstance(told, status_pb2.Status):
                return told
            error = told if told is not None else error
        if not isinstance(error, DomainError):
            log.error("%s failed", method, exc_info=error)
            error = Internal(call.request_id)
        elif error.status in ("INTERNAL", "DATA_LOSS", "UNAVAILABLE"):
            log.warning("%s: %s", method, error, exc_info=error.__cause__)
        return translate(error, call.languages, call.request_id)


def _acts_for(said: dict[str, str], claims: Claims, method: str) -> tuple[str, str]:
    """Tenant and principal: the token's, or what a service passes on. Nobody else may pass on anything."""
    if TENANT_KEY not in said and PRINCIPAL_KEY not in said:
        return claims.tenant, claims.principal
    if claims.role != "service":
        raise PermissionDenied(role=claims.role, method=method, allowed="service")
    tenant = unquote(said.get(TENANT_KEY, "")) or claims.tenant
    return tenant, unquote(said.get(PRINCIPAL_KEY, "")) or claims.principal


async def _abort(grpc_context: Any, status: status_pb2.Status | None) -> None:
    if status is not None:
        trailers = ((_DETAILS_KEY, status.SerializeToString()),)
        await grpc_context.abort(_CODES[status.code], status.message, trailers)


def _name(status: status_pb2.Status | None, grpc_context: Any) -> str:
    if status is not None:
        return str(_CODES[status.code].name)
    code = grpc_context.code()
    return str(getattr(code, "name", None) or "CANCELLED")
