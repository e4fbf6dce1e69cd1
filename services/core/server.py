"""A gRPC server as every service runs it: health that tells the truth, reflection, bounds, and a graceful end."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.core.access import AccessTable
from services.core.auth import Verifier
from services.core.calls import Calls
from services.core.channels import MAX_MESSAGE_BYTES
from services.core.errors import PortTaken
from services.core.probes import ProbeServer
from services.core.readiness import Check, Readiness
from services.core.settings import Settings

__all__ = ["GrpcServer", "PortTaken", "Registration"]

log = logging.getLogger(__name__)

Registration = tuple[Callable[[Any, Any], None], object]
"""A generated `add_XServicer_to_server` and the servicer."""
_OPTIONS: list[tuple[str, Any]] = [
    # A taken port is an error, not a second listener.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Connections are renewed, so that clients find new replicas; running calls go on.
    ("grpc.max_connection_age_ms", 30 * 60_000),
]


class GrpcServer:
    """Serves until told to stop. Calls are refused as UNAVAILABLE until every check in `ready` has passed once.

    Usage: `async with GrpcServer(settings, [(add_fn, servicer)], {"database": database.check}) as server: …`
    """

    def __init__(
        self, settings: Settings, servicers: Sequence[Registration], ready: Mapping[str, Check] | None = None
    ) -> None:
        self._settings = settings
        self._servicers = servicers
        self._health = HealthServicer()
        self._names = [""]
        self.readiness = Readiness(ready or {}, self._publish)
        self._probes = ProbeServer(self.readiness)
        self._watching: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None
        self.port = 0
        """The port of gRPC, once started."""
        self.http_port = 0
        """The port of /livez, /readyz and /metrics, once started."""

    async def start(self) -> int:
        """Listens and begins to check dependencies; returns the port. Raises PortTaken."""
        calls = Calls(
            Verifier(self._settings.auth_path),
            AccessTable(open_reflection=self._settings.open_reflection),
            default_deadline_s=self._settings.default_deadline_seconds,
            closed=self.readiness.closed,
        )
        self._server = grpc.aio.server(interceptors=[calls], options=_OPTIONS)
        self._register(self._server)
        try:
            self.port = self._server.add_insecure_port(self._settings.listen)
        except RuntimeError as error:
            raise PortTaken(f"cannot listen on {self._settings.listen}: is it taken?") from error
        host, _, http_port = self._settings.http_listen.rpartition(":")
        try:
            self.http_port = await self._probes.start(host.strip("[]"), int(http_port))
        except OSError as error:
            raise PortTaken(f"cannot listen on {self._settings.http_listen}: is it taken?") from error
        await self._publish(False)
        await self._server.start()
        self._watching = asyncio.create_task(self.readiness.watch(), name="readiness")
        log.info("listening", extra={"port": self.port, "http_port": self.http_port})
        return self.port

    async def stop(self) -> None:
        """Takes no new calls, lets running ones finish within `drain_seconds`, then ends them."""
        self._probes.drain()
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(self._settings.drain_seconds)
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._probes.stop()
        log.info("stopped")

    async def wait_ready(self) -> None:
        """Returns when every dependency has answered once; background work begins here."""
        await self.readiness.opened.wait()

    async def __aenter__(self) -> "GrpcServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _register(self, server: grpc.aio.Server) -> None:
        recorder = _Recorder(server)
        for add, servicer in self._servicers:
            add(servicer, recorder)
        self._names += recorder.names
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        shown = [*recorder.names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        reflection.enable_server_reflection([*shown, reflection.SERVICE_NAME], server)

    async def _publish(self, ready: bool) -> None:
        state = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, state)


class _Recorder:
    """Passes registrations on and keeps the services' names, which the generated functions do not tell."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, name: str, handlers: Any) -> None:
        self.names.append(name)
        self._server.add_registered_method_handlers(name, handlers)
