"""Database roles and schemas of the services, and bringing the schemas up to date.

All migrations of one machine run in one process (`python -m services.embedded.schemas`, the urls on standard input):
loading Alembic once instead of four times is most of what a first start would otherwise wait for. A start that finds
every schema at its newest revision runs none.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from services.core import lifeline
from services.core.imports import uncollected
from services.embedded.environment import environment
from services.embedded.errors import MigrationFailed
from services.embedded.postgres import Postgres
from services.embedded.processes import SERVICES, Service


def provision(postgres: Postgres) -> None:
    """Make every service's role, which owns its schema and nothing else."""
    for service in SERVICES:
        postgres.provision(service.schema, schema=service.schema)


def behind(urls: Mapping[str, str]) -> list[Service]:
    """The services whose schema is older than their code."""
    return [service for service in SERVICES if _revision(urls[service.name], service.schema) < _newest(service)]


class Migrations:
    """The process that brings the schemas up to date which are behind."""

    def __init__(self, urls: Mapping[str, str], log: Path) -> None:
        self._urls = urls
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def prepare(self) -> None:
        """Start the process ahead: it loads as long as a new database is being made."""
        self._process = await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self._log.open("wb") as output:
            return await lifeline.spawn(
                [sys.executable, "-m", "services.embedded.schemas"],
                env=environment((), {}),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    async def run(self) -> None:
        """Migrate. Raises MigrationFailed with the end of what was said."""
        services = await asyncio.to_thread(behind, self._urls)
        if not services:
            return
        process = self._process = self._process or await self._spawn()
        told = json.dumps({service.package: [self._urls[service.name], service.schema] for service in services})
        await process.communicate(told.encode())
        if process.returncode != 0:
            raise MigrationFailed(self._log.read_text(errors="replace")[-2000:])

    async def end(self) -> None:
        """End the process where it still runs."""
        if self._process is not None and self._process.returncode is None:
            await lifeline.end(self._process)


def _revision(url: str, schema: str) -> str:
    """The schema's revision; "" when it was never migrated."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT to_regclass(%s)", (f"{schema}.alembic_version",)).fetchone()
        if found is None or found[0] is None:
            return ""
        table = sql.Identifier(schema, "alembic_version")
        row = connection.execute(sql.SQL("SELECT version_num FROM {}").format(table)).fetchone()
        return str(row[0]) if row else ""


def _newest(service: Service) -> str:
    # As services.core.migrate reads it, without loading SQLAlchemy into the supervisor.
    spec = find_spec(service.package)
    if spec is None or not spec.submodule_search_locations:
        raise MigrationFailed(f"no package {service.package}")
    files = Path(spec.submodule_search_locations[0], "migrations", "versions").glob("*.py")
    return max(match[1] for path in files if (match := re.fullmatch(r"(\d{4})_\w+\.py", path.name)))


def main() -> None:
    """Migrate what standard input names: {package: [url, schema]}."""
    lifeline.attach()
    with uncollected():
        from services.core import migrate as core

        core.load()
    for package, (url, schema) in json.load(sys.stdin).items():
        sys.stdout.write(f"{schema}: {core.run(package, url=url, schema=schema)}\n")


if __name__ == "__main__":
    main()
