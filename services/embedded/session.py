"""One run of everything on this machine, from the first process to the last."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping

from services.embedded import schemas
from services.embedded.errors import StartFailed
from services.embedded.identities import Identities
from services.embedded.language import text
from services.embedded.layout import StateDir
from services.embedded.postgres import Postgres, PostgresError
from services.embedded.private_file import write_private
from services.embedded.processes import SERVICES, Machine, table
from services.embedded.runtime import Runtime, State, created, record
from services.embedded.settings import EmbeddedSettings
from services.embedded.supervisor import Supervisor

_RENEW_S = 86_400.0
Say = Callable[[str], None]
Healthy = Callable[[Runtime], None]


class Session:
    """Starts the table of processes, keeps the files that tell of them true, and stops all in order."""

    def __init__(self, settings: EmbeddedSettings, state: StateDir, ports: Mapping[str, int], say: Say) -> None:
        self._settings = settings
        self._state = state
        self._say = say
        self._identities = Identities(state)
        external = settings.database_url
        self._postgres = None if external else Postgres(state.postgres)
        self._urls = {
            service.name: self._postgres.url(service.schema)
            if self._postgres
            else str(external and external.get_secret_value())
            for service in SERVICES
        }
        self._machine = Machine(
            state=state,
            host=settings.host,
            ports=ports,
            database_urls=self._urls,
            attempt_key=self._identities.delegate_key("attempt"),
            postgres=self._postgres,
        )
        self._supervisor = Supervisor(
            table(self._machine), logs=state.logs, changed=self._write_runtime, report=self._tell_death
        )
        self._migrations = schemas.Migrations(self._urls, state.logs / "migrate.log")
        self._began = time.time()
        self._healthy_after: float | None = None
        self._stopping = False

    async def run(self, healthy: Healthy) -> None:
        """Run until SIGINT or SIGTERM. `healthy` is called once, when everything is ready.

        Raises StartFailed or MigrationFailed, after everything was stopped again.
        """
        self._say(text(f"Starting AIFT in {self._state.root} …", f"AIFT を {self._state.root} で起動しています…"))
        try:
            self._renew_identities()
            self._write_client()
            await _first(self._await_signal(), self._live(healthy))
        finally:
            await self._stop()

    async def _live(self, healthy: Healthy) -> None:
        try:
            await self._bring_up()
        finally:
            await self._migrations.end()
        self._healthy_after = time.time() - self._began
        healthy(self._write_runtime())
        await _first(self._supervisor.wait_broken(), self._keep_identities())

    async def _bring_up(self) -> None:
        if self._postgres is not None and not self._postgres.exists:
            # The longest chain of a first start, and all else waits for it: it has the processor to itself.
            await self._migrations.prepare()
            await self._make_cluster(self._postgres)
        self._supervisor.start()
        if self._postgres is not None:
            await self._supervisor.wait_ready(timeout_s=self._settings.start_seconds, names=["postgres"])
            await asyncio.to_thread(schemas.provision, self._postgres)
        await self._migrations.run()
        await self._supervisor.wait_ready(timeout_s=self._settings.start_seconds)

    @staticmethod
    async def _make_cluster(postgres: Postgres) -> None:
        try:
            await asyncio.to_thread(postgres.prepare)
        except (OSError, PostgresError) as error:
            raise StartFailed({"postgres": str(error)}) from error

    async def _stop(self) -> None:
        self._stopping = True
        self._write_runtime()
        await self._supervisor.stop()
        self._state.client.unlink(missing_ok=True)
        self._state.runtime.unlink(missing_ok=True)

    async def _await_signal(self) -> None:
        arrived = asyncio.Event()

        def arrive() -> None:
            if arrived.is_set():
                self._say(text("Killing what is left.", "残りを強制終了します。"))
                self._supervisor.kill()
            arrived.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, arrive)
        await arrived.wait()
        self._say(text("Stopping …", "停止しています…"))

    def _renew_identities(self) -> None:
        for service in SERVICES:
            self._identities.renew_process(service.name, "service")
        self._identities.renew_process("worker", "worker")
        self._identities.ensure_user()

    async def _keep_identities(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            self._renew_identities()

    def _write_client(self) -> None:
        content = {**self._machine.addresses(), "token_file": str(self._state.token)}
        write_private(self._state.client, json.dumps(content, indent=2) + "\n")

    def _write_runtime(self) -> Runtime:
        runtime = Runtime(
            pid=os.getpid(),
            created=created(os.getpid()),
            state=self._current(),
            started=self._began,
            seconds_to_healthy=self._healthy_after,
            addresses=self._machine.addresses(),
            processes=tuple(record(child) for child in self._supervisor.children),
        )
        runtime.write(self._state.runtime)
        return runtime

    def _current(self) -> State:
        if self._stopping:
            return "stopping"
        if self._healthy_after is None:
            return "starting"
        return "healthy" if all(child.ready for child in self._supervisor.children) else "unhealthy"

    def _tell_death(self, name: str, status: int, delay_s: float) -> None:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        self._say(
            text(
                f"{name} ended ({how}); starting it again in {delay_s:g} s.",
                f"{name} が終了しました({how})。{delay_s:g} 秒後に再起動します。",
            )
        )


async def _first(*waits: Coroutine[object, object, None]) -> None:
    """Run side by side until one returns or raises; end the others."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
