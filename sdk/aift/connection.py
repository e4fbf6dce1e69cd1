"""Channels to the four services, and how calls are made: identity, deadline, retry."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from aift.data.v1.data_pb2_grpc import DataServiceStub
from aift.discovery import Addresses, Endpoint
from aift.errors import AiftError, of_call
from aift.inference.v1.inference_pb2_grpc import InferenceServiceStub
from aift.registry.v1.registry_pb2_grpc import RegistryServiceStub
from aift.training.v1.training_pb2_grpc import TrainingServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]

DEFAULT_TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0

_OPTIONS = (
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Patience:
    """Decides whether and how long to wait before a failed call is made again.

    seconds is for a service that is away; busy_s (seconds) for one that says itself when to come back.
    """

    def __init__(self, seconds: float, *, busy_s: float | None = None) -> None:
        self._seconds = seconds
        self._busy_s = seconds if busy_s is None else busy_s
        self.renew()

    def renew(self) -> None:
        """Starts anew: something worked."""
        self._start = time.monotonic()
        self._pause_s = FIRST_PAUSE_S

    def wait(self, error: AiftError, again: Callable[[AiftError], bool] | None = None) -> None:
        """Sleeps until the next try, or raises the error when `again` (is_transient) denies it or the time is up."""
        if not (again or is_transient)(error):
            raise error
        pause = error.retry_after_s or self._pause_s * random.uniform(0.5, 1.5)  # noqa: S311 (spreads retries)
        limit = self._seconds if error.retry_after_s is None else self._busy_s
        if time.monotonic() + pause > self._start + limit:
            raise error
        time.sleep(pause)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def is_transient(error: AiftError) -> bool:
    """Whether the same call may succeed a little later."""
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return error.retry_after_s is not None
    return error.code is grpc.StatusCode.UNAVAILABLE


def is_broken_stream(error: AiftError) -> bool:
    """Whether a stream ended by the way of the network rather than by the service's word."""
    cut = {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
    return is_transient(error) or (error.code in cut and error.reason == error.code.name)


class Connection:
    """The services as stubs, and the three ways to call them. Safe to use from several threads.

    patience_s is how long a call that a service cannot take right now is tried again.
    """

    def __init__(self, endpoint: Endpoint, *, tenant: str | None = None, patience_s: float = 10.0) -> None:
        self._endpoint = endpoint
        self._tenant = tenant
        self.patience_s = patience_s
        self._channels = {name: open_channel(getattr(endpoint.addresses, name)) for name in Addresses.names()}
        self.data = DataServiceStub(self._channels["data"])
        self.training = TrainingServiceStub(self._channels["training"])
        self.registry = RegistryServiceStub(self._channels["registry"])
        self.inference = InferenceServiceStub(self._channels["inference"])

    def close(self) -> None:
        """Ends all calls and closes the channels."""
        for channel in self._channels.values():
            channel.close()

    def channel(self, service: str) -> grpc.Channel:
        """The channel to a service, for stubs of one's own."""
        return self._channels[service]

    def metadata(self, request_id: str) -> Metadata:
        """Who calls, for whom, and under which W3C trace id."""
        entries = [("traceparent", f"00-{request_id}-{uuid.uuid4().hex[:16]}-01")]
        if token := self._endpoint.token.read():
            entries.append(("authorization", f"Bearer {token}"))
        if self._tenant:
            entries.append(("x-aift-tenant", self._tenant))
        return tuple(entries)

    def failure(self, error: grpc.RpcError, *, request_id: str, service: str) -> AiftError:
        """A failed call as AiftError."""
        address = getattr(self._endpoint.addresses, service)
        return of_call(error, request_id=request_id, service=service, address=address)

    def call(
        self,
        service: str,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        patience_s: float | None = None,
        busy_patience_s: float | None = None,
    ) -> Response:
        """Makes one call that is safe to retry, and retries it while the service is away or busy. Raises AiftError."""
        patience = Patience(self.patience_s if patience_s is None else patience_s, busy_s=busy_patience_s)
        while True:
            request_id = uuid.uuid4().hex
            try:
                return method(request, timeout=timeout_s, metadata=self.metadata(request_id))
            except grpc.RpcError as error:
                patience.wait(self.failure(error, request_id=request_id, service=service))

    def stream(
        self,
        service: str,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        *,
        timeout_s: float | None = None,
    ) -> Iterator[Response]:
        """The messages of one streaming call, made once; closing the iterator ends the call. Raises AiftError."""
        request_id = uuid.uuid4().hex
        call = method(request, timeout=timeout_s, metadata=self.metadata(request_id))
        try:
            yield from call
        except grpc.RpcError as error:
            raise self.failure(error, request_id=request_id, service=service) from error
        finally:
            call.cancel()


def open_channel(address: str) -> grpc.Channel:
    """A channel to "host:port" that reconnects by itself; connects at the first call."""
    target = address if address.startswith(("unix:", "dns:", "ipv4:", "ipv6:")) else f"dns:///{address}"
    options: list[tuple[str, str | int]] = list(_OPTIONS)
    if _is_loopback(address):
        # A proxy of the environment cannot reach this machine's loopback.
        options.append(("grpc.enable_http_proxy", 0))
    return grpc.insecure_channel(target, options=options)


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "localhost:", "[::1]:", "unix:"))
