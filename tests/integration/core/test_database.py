"""Units of work, hot reads, and riding over a database that goes away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.core.channels import channel
from services.core.db import Database
from services.core.errors import InvalidArgument, Unavailable
from services.embedded.postgres import Postgres
from tests.integration.core.conftest import Start


@pytest.fixture
async def table(database: Database) -> Database:
    async with database.transaction() as tx:
        await tx.execute(text("CREATE TABLE things (id text PRIMARY KEY, n int)"))
    return database


async def count(database: Database) -> int:
    row = await database.fetch_one("SELECT count(*) AS n FROM things")
    assert row is not None
    return int(row["n"])


async def test_a_unit_of_work_commits(table: Database) -> None:
    async with table.transaction() as tx:
        await tx.execute(text("INSERT INTO things VALUES ('a', 1)"))
        assert await count(table) == 0
    assert await count(table) == 1


async def test_a_unit_of_work_rolls_back_when_it_raises(table: Database) -> None:
    async def work() -> None:
        async with table.transaction() as tx:
            await tx.execute(text("INSERT INTO things VALUES ('a', 1)"))
            raise LookupError

    with pytest.raises(LookupError):
        await work()
    assert await count(table) == 0


async def test_a_unit_of_work_rolls_back_when_it_is_cancelled(table: Database) -> None:
    inserted = asyncio.Event()

    async def work() -> None:
        async with table.transaction() as tx:
            await tx.execute(text("INSERT INTO things VALUES ('a', 1)"))
            inserted.set()
            await asyncio.sleep(60)

    working = asyncio.create_task(work())
    await inserted.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    async with table.transaction() as tx:
        await tx.execute(text("INSERT INTO things VALUES ('a', 2)"))
    assert await table.fetch_all("SELECT id, n FROM things") == [{"id": "a", "n": 2}]


async def test_constraints_are_not_translated(table: Database) -> None:
    async def work() -> None:
        async with table.transaction() as tx:
            await tx.execute(text("INSERT INTO things VALUES ('a', 1), ('a', 2)"))

    with pytest.raises(IntegrityError):
        await work()


async def test_schemas_are_apart(table: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other")
    other = Database(database_url, "other")
    assert await other.fetch_one("SELECT to_regclass('things') AS there") == {"there": None}
    await other.close()


@pytest.mark.parametrize("schema", ["", "x; DROP", 'a"b', "a b", "1a", "A"])
def test_schema_names_are_checked(schema: str) -> None:
    with pytest.raises(ValueError, match="not a schema name"):
        Database("postgresql://x", schema)


async def test_hot_reads(table: Database) -> None:
    async with table.transaction() as tx:
        await tx.execute(text("INSERT INTO things SELECT 'k' || n, n FROM generate_series(1, 100) n"))
    rows = await asyncio.gather(
        *(table.fetch_one("SELECT n FROM things WHERE id = %s", (f"k{n}",)) for n in range(1, 101))
    )
    assert [row["n"] for row in rows if row] == list(range(1, 101))
    assert await table.fetch_one("SELECT n FROM things WHERE id = %(id)s", {"id": "none"}) is None


async def test_nul_is_the_clients_mistake(table: Database) -> None:
    with pytest.raises(InvalidArgument):
        await table.fetch_one("SELECT n FROM things WHERE id = %s", ("a\0",))

    async def insert() -> None:
        async with table.transaction() as tx:
            await tx.execute(text("INSERT INTO things VALUES (:id, 1)"), {"id": "a\0"})

    with pytest.raises(InvalidArgument):
        await insert()


async def test_times_are_utc(table: Database) -> None:
    row = await table.fetch_one("SELECT clock_timestamp() AS now, current_setting('timezone') AS zone")
    assert row is not None
    assert row["zone"] == "UTC"
    assert row["now"].utcoffset().total_seconds() == 0


async def test_a_database_that_was_never_there(state_dir: Path) -> None:
    nowhere = Database(f"postgresql://x@/x?host={state_dir}", "test")
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await nowhere.check()
    assert time.monotonic() - started < 30
    await nowhere.close()


@pytest.fixture
def own_postgres(state_dir: Path) -> Iterator[Postgres]:
    """A server that a test may kill."""
    server = Postgres(state_dir / "pg", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own_database(own_postgres: Postgres) -> AsyncIterator[Database]:
    opened = Database(own_postgres.provision("things", schema="test"), "test")
    async with opened.transaction() as tx:
        await tx.execute(text("CREATE TABLE things (id text PRIMARY KEY, n int)"))
    yield opened
    await opened.close()


def kill(server: Postgres) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while server.poll() is None:
        time.sleep(0.01)


async def read_and_write(database: Database, n: int) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("INSERT INTO things VALUES (:id, :n)"), {"id": f"t{n}", "n": n})
    assert await database.fetch_one("SELECT n FROM things WHERE id = %s", (f"t{n}",)) == {"n": n}


async def test_a_restart_is_not_noticed(own_postgres: Postgres, own_database: Database) -> None:
    await asyncio.gather(*(read_and_write(own_database, n) for n in range(16)))
    kill(own_postgres)
    restarting = asyncio.create_task(asyncio.to_thread(own_postgres.start))
    await asyncio.gather(*(read_and_write(own_database, n) for n in range(100, 116)))
    await restarting


async def test_away_and_back(own_postgres: Postgres, own_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.core.db._RECONNECT_WITHIN_S", 0.5)
    await read_and_write(own_database, 1)
    kill(own_postgres)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await own_database.check()
        with pytest.raises(Unavailable):
            await read_and_write(own_database, 2)
    # Longer than the pool goes on trying by itself.
    await asyncio.sleep(7)
    await asyncio.to_thread(own_postgres.start)
    started = time.monotonic()
    while True:
        try:
            await own_database.check()
            break
        except Unavailable:
            assert time.monotonic() - started < 60
    await read_and_write(own_database, 3)


async def test_health_tells_of_the_database(
    own_postgres: Postgres, own_database: Database, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.core.db._RECONNECT_WITHIN_S", 0.5)
    server = await start({"database": own_database.check})
    await asyncio.wait_for(server.wait_ready(), 60)

    async def becomes(wanted: int) -> None:
        async with channel(f"127.0.0.1:{server.port}") as opened, asyncio.timeout(30):
            stub = health_pb2_grpc.HealthStub(opened)
            async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                if answer.status == wanted:
                    return

    await becomes(health_pb2.HealthCheckResponse.SERVING)
    kill(own_postgres)
    await becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
    await asyncio.to_thread(own_postgres.start)
    await becomes(health_pb2.HealthCheckResponse.SERVING)
