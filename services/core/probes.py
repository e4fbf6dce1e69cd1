"""What orchestrators ask over HTTP: /livez (the process), /readyz (its dependencies), /metrics."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.core.readiness import Readiness


class ProbeServer:
    """One small HTTP server beside gRPC."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._draining = False
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    def drain(self) -> None:
        """Answers "not ready" from now on, so that no new calls are sent here."""
        self._draining = True

    async def stop(self) -> None:
        """Stops listening."""
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._readiness.ready and not self._draining
        body = {"ready": ready, "draining": self._draining, "failing": self._readiness.failing}
        return web.json_response(body, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
