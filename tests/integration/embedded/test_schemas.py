"""Schemas of all services brought up to date by one process, and left alone when they are."""

from pathlib import Path

import psycopg
import pytest

from services.embedded import schemas
from services.embedded.errors import MigrationFailed
from services.embedded.postgres import Postgres
from services.embedded.processes import SERVICES


@pytest.fixture
def urls(database_url: str) -> dict[str, str]:
    """A database of one's own, as AIFT_DATABASE_URL names it: one role for everything, no schema yet."""
    return {service.name: database_url for service in SERVICES}


async def test_a_database_of_ones_own_gets_every_schema(urls: dict[str, str], tmp_path: Path) -> None:
    assert [service.name for service in schemas.behind(urls)] == [service.name for service in SERVICES]
    await schemas.Migrations(urls, tmp_path / "migrate.log").run()
    assert schemas.behind(urls) == []
    with psycopg.connect(urls["data"]) as connection:
        found = {row[0] for row in connection.execute("SELECT nspname FROM pg_namespace")}
    assert {service.schema for service in SERVICES} <= found


async def test_nothing_runs_when_nothing_is_behind(
    urls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "behind", lambda urls: [])
    await schemas.Migrations(urls, tmp_path / "migrate.log").run()
    assert not (tmp_path / "migrate.log").exists()


async def test_a_failure_tells_what_was_said(urls: dict[str, str], tmp_path: Path) -> None:
    with psycopg.connect(urls["data"], autocommit=True) as connection:
        connection.execute("CREATE SCHEMA data")
        connection.execute("CREATE TABLE data.alembic_version (version_num text)")
        connection.execute("INSERT INTO data.alembic_version VALUES ('0000')")
    with pytest.raises(MigrationFailed, match="0000"):
        await schemas.Migrations(urls, tmp_path / "migrate.log").run()


def test_roles_reach_their_own_schema_only(postgres: Postgres) -> None:
    schemas.provision(postgres)
    schemas.provision(postgres)
    with psycopg.connect(postgres.url("data"), autocommit=True) as connection:
        connection.execute("CREATE TABLE data.probe (a int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE training.probe (a int)")
        connection.execute("DROP TABLE data.probe")
