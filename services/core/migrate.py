"""Schema migrations. Alembic is imported only by the process that migrates; services just compare numbers.

Revisions are files `migrations/versions/NNNN_words.py` of a service's package, `revision = "NNNN"`, one line of them.
Expand, then contract: a schema newer than the code is served.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import psycopg
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.schema import CreateSchema

from services.core.db import Database
from services.core.errors import Unavailable

_REVISION = re.compile(r"(\d{4})_\w+\.py")


def versions_dir(package: str) -> Path:
    """The folder of a service package's revisions."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(spec.submodule_search_locations[0]) / "migrations" / "versions"


def head(package: str) -> str:
    """The newest revision that this code brings."""
    numbers = [m[1] for path in versions_dir(package).glob("*.py") if (m := _REVISION.fullmatch(path.name))]
    return max(numbers)


def load() -> None:
    """Loads what `run` needs, for a process that has to wait for its database anyway."""
    from alembic import command  # noqa: F401


def run(package: str, *, url: str, schema: str) -> str:
    """Brings the schema to the newest revision, one process at a time, in one transaction. Returns the revision."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic_env"))
    config.set_main_option("version_locations", str(versions_dir(package)))
    config.set_main_option("path_separator", "newline")
    engine = create_engine("postgresql+psycopg://", creator=lambda: _connect(url, schema))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": crc32(schema.encode())})
            _make_schema(connection, schema)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
    return head(package)


def _connect(url: str, schema: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url, options=f"-c search_path={schema} -c timezone=UTC", connect_timeout=5)


def _make_schema(connection: Connection, schema: str) -> None:
    # Asked first: a role without the right to make schemas may own one that was made for it.
    known = connection.execute(text("SELECT FROM pg_namespace WHERE nspname = :name"), {"name": schema}).first()
    if known is None:
        connection.execute(CreateSchema(schema))


class SchemaCheck:
    """A readiness check: has the schema the revision that this code needs?"""

    def __init__(self, package: str, database: Database) -> None:
        self._wanted = head(package)
        self._database = database
        self._passed = False

    async def __call__(self) -> None:
        """Raises Unavailable until `migrate` has run; afterwards passes without asking again."""
        if self._passed:
            return
        there = await self._database.fetch_one("SELECT to_regclass('alembic_version') IS NOT NULL AS known")
        row = (
            await self._database.fetch_one("SELECT version_num FROM alembic_version")
            if there and there["known"]
            else None
        )
        if row is None or str(row["version_num"]) < self._wanted:
            raise Unavailable("schema")
        self._passed = True
