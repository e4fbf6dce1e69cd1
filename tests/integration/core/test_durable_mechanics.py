"""Requests that are repeated, pages, leases and blobs, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aift.data.v1 import data_pb2
from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text, func, select, text

from services.core import context, pages
from services.core.blobs import Blobs, StoredBlob, blobs_table
from services.core.context import RequestContext
from services.core.db import Database
from services.core.errors import ContentMissing, DigestMismatch, InvalidArgument, NotFound, RequestIdReused, StaleFence
from services.core.idempotency import RequestKey, forget, key_of, recall, record, requests_table
from services.core.leases import LeaseQueue, database_time
from services.core.objects import ObjectStore
from services.core.objects.directory import DirectoryStore

METADATA = MetaData()
requests = requests_table(METADATA)
blobs = blobs_table(METADATA)
jobs = Table(
    "jobs",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False, server_default="QUEUED"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("lease_expires_at", DateTime(timezone=True)),
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def db(database: Database) -> Database:
    async with database.transaction() as tx:
        await tx.run_sync(METADATA.create_all)
    return database


# --- Requests that are repeated ---------------------------------------------------------------------------------


def request_key(payload: bytes = b"p", request_id: str = "r1", tenant: str = "t") -> RequestKey:
    return RequestKey(tenant=tenant, method="/s/Create", request_id=request_id, payload_sha256=payload)


async def create(db: Database, key: RequestKey, name: str, *, slow: float = 0, fail: bool = False) -> str:
    async with db.transaction() as tx:
        known = await recall(tx, requests, key)
        if known is not None:
            return known
        await asyncio.sleep(slow)
        if fail:
            raise LookupError
        await record(tx, requests, key, name)
        return name


async def test_the_same_request_gives_the_first_result(db: Database) -> None:
    assert await create(db, request_key(), "datasets/1") == "datasets/1"
    assert await create(db, request_key(), "datasets/2") == "datasets/1"


async def test_another_payload_is_refused(db: Database) -> None:
    await create(db, request_key(), "datasets/1")
    with pytest.raises(RequestIdReused):
        await create(db, request_key(b"other"), "datasets/2")


async def test_requests_are_apart_by_tenant_and_without_id_nothing_is_kept(db: Database) -> None:
    await create(db, request_key(), "datasets/1")
    assert await create(db, request_key(b"x", tenant="other"), "datasets/2") == "datasets/2"
    assert await create(db, request_key(request_id=""), "datasets/3") == "datasets/3"
    assert await create(db, request_key(b"x", request_id=""), "datasets/4") == "datasets/4"


async def test_a_failed_request_may_be_repeated(db: Database) -> None:
    with pytest.raises(LookupError):
        await create(db, request_key(), "datasets/1", fail=True)
    assert await create(db, request_key(), "datasets/2") == "datasets/2"


async def test_the_same_request_twice_at_once_makes_one_thing(db: Database) -> None:
    made = await asyncio.gather(*(create(db, request_key(), f"datasets/{n}", slow=0.1) for n in range(5)))
    assert len(set(made)) == 1


async def test_requests_are_forgotten_after_a_week(db: Database) -> None:
    await create(db, request_key(), "datasets/1")
    async with db.transaction() as tx:
        assert await forget(tx, requests) == 0
        await tx.execute(requests.update().values(create_time=func.clock_timestamp() - timedelta(days=8)))
        assert await forget(tx, requests) == 1


def enter_call(tenant: str = "t") -> None:
    context.enter(
        RequestContext(tenant=tenant, principal="p", role="editor", request_id="0" * 32, method="/s/CreateDataset")
    )


async def test_the_key_of_a_call() -> None:
    enter_call()
    one = key_of(data_pb2.CreateDatasetRequest(dataset_id="a", request_id="r"))
    assert (one.tenant, one.method, one.request_id) == ("t", "/s/CreateDataset", "r")
    assert one == key_of(data_pb2.CreateDatasetRequest(dataset_id="a", request_id="r"))
    assert one != key_of(data_pb2.CreateDatasetRequest(dataset_id="b", request_id="r"))
    for bad in ("x" * 200, "a\0", "a\n"):
        with pytest.raises(InvalidArgument):
            key_of(data_pb2.CreateDatasetRequest(request_id=bad))


# --- Pages ------------------------------------------------------------------------------------------------------


def asked(size: int = 0, token: str = "") -> Any:
    return SimpleNamespace(page_size=size, page_token=token)


async def list_jobs(db: Database, request: Any, **filters: object) -> tuple[list[str], str]:
    page = pages.page(request, **filters)
    async with db.transaction() as tx:
        statement = page.of(select(jobs).where(jobs.c.tenant == "t"), jobs.c.create_time, jobs.c.id)
        rows, token = page.split((await tx.execute(statement)).mappings().all())
    return [row["id"] for row in rows], token


async def add_job(db: Database, id_: str, create_time: datetime) -> None:
    async with db.transaction() as tx:
        await tx.execute(jobs.insert().values(tenant="t", id=id_, create_time=create_time))


async def test_pages_are_stable_while_rows_come_and_go(db: Database) -> None:
    # Two rows a moment, so that the id decides too.
    for n in range(10):
        await add_job(db, f"j{n}", LONG_AGO + timedelta(microseconds=n // 2))
    first, token = await list_jobs(db, asked(4))
    assert first == ["j9", "j8", "j7", "j6"]
    await add_job(db, "newest", LONG_AGO + timedelta(seconds=9))
    async with db.transaction() as tx:
        await tx.execute(jobs.delete().where(jobs.c.id.in_(["j9", "j6", "j4"])))
    second, token = await list_jobs(db, asked(4, token))
    assert second == ["j5", "j3", "j2", "j1"]
    third, token = await list_jobs(db, asked(4, token))
    assert (third, token) == (["j0"], "")


async def test_the_last_full_page_has_no_next(db: Database) -> None:
    for n in range(4):
        await add_job(db, f"j{n}", LONG_AGO + timedelta(seconds=n))
    assert await list_jobs(db, asked(4)) == (["j3", "j2", "j1", "j0"], "")
    assert await list_jobs(db, asked()) == (["j3", "j2", "j1", "j0"], "")


def test_page_sizes() -> None:
    assert pages.page(asked(0)).size == 50
    assert pages.page(asked(7)).size == 7
    assert pages.page(asked(10**9)).size == 1000
    with pytest.raises(InvalidArgument):
        pages.page(asked(-1))


@pytest.mark.parametrize(
    "token", ["x", "....", "e30", "W10", "bnVsbA", "WzEsIngiLCJ5Il0", "WzFlOTk5LCJ4IiwieSJd", "é", "\0"]
)
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        pages.page(asked(1, token))
    assert caught.value.violations[0].field == "page_token"


def test_a_token_belongs_to_its_filters() -> None:
    cursor = pages.Cursor(datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "id")
    mine = pages.page(asked(), state="RUNNING")
    token = pages.encode(cursor, mine.filter_hash)
    assert pages.page(asked(0, token), state="RUNNING").after == cursor
    with pytest.raises(InvalidArgument):
        pages.page(asked(0, token), state="FAILED")


# --- Leases -----------------------------------------------------------------------------------------------------

QUEUE = LeaseQueue(table=jobs, waiting=["QUEUED"], claimed="RUNNING", held=["RUNNING", "PAUSING"], ttl_s=30)
SHORT = replace(QUEUE, ttl_s=0.05)


@pytest.fixture
async def queue(db: Database) -> Database:
    for n in range(6):
        await add_job(db, f"j{n}", LONG_AGO + timedelta(seconds=n))
    return db


async def claim(db: Database, queue: LeaseQueue = QUEUE, hold_s: float = 0.0) -> Any:
    async with db.transaction() as tx:
        row = await queue.claim(tx)
        await asyncio.sleep(hold_s)
        return row


async def renew(db: Database, id_: str, fence: int) -> Any:
    async with db.transaction() as tx:
        return await QUEUE.renew(tx, tenant="t", id_=id_, fence=fence)


async def check(db: Database, id_: str, fence: int) -> Any:
    async with db.transaction() as tx:
        return await QUEUE.check_fence(tx, tenant="t", id_=id_, fence=fence)


async def test_claims_come_in_order_and_end(queue: Database) -> None:
    rows = [await claim(queue) for _ in range(7)]
    assert [row["id"] for row in rows if row] == ["j0", "j1", "j2", "j3", "j4", "j5"]
    assert rows[6] is None
    assert {(row["state"], row["attempt"], row["fence"]) for row in rows if row} == {("RUNNING", 1, 1)}


async def test_two_claimers_never_get_the_same(queue: Database) -> None:
    rows = await asyncio.gather(*(claim(queue, hold_s=0.02) for _ in range(9)))
    ids = [row["id"] for row in rows if row]
    assert sorted(ids) == ["j0", "j1", "j2", "j3", "j4", "j5"]


async def test_a_claim_that_rolls_back_leaves_the_job(queue: Database) -> None:
    async def fail() -> None:
        async with queue.transaction() as tx:
            assert await QUEUE.claim(tx)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    row = await claim(queue)
    assert (row["id"], row["fence"]) == ("j0", 1)


async def test_what_may_be_claimed_can_be_narrowed_and_ordered(queue: Database) -> None:
    async with queue.transaction() as tx:
        await tx.execute(jobs.update().where(jobs.c.id.in_(["j3", "j4"])).values(priority=5))
        first = await QUEUE.claim(tx, order_by=(jobs.c.priority.desc(), jobs.c.create_time))
        second = await QUEUE.claim(tx, jobs.c.id != "j0")
    assert first is not None
    assert second is not None
    assert (first["id"], second["id"]) == ("j3", "j1")


async def test_a_stale_fence_is_refused(queue: Database) -> None:
    old = await claim(queue, SHORT)
    async with queue.transaction() as tx:
        await tx.execute(jobs.update().where(jobs.c.id == "j0").values(state="QUEUED"))
    new = await claim(queue)
    assert (new["id"], new["fence"], new["attempt"]) == ("j0", old["fence"] + 1, 2)
    with pytest.raises(StaleFence):
        await renew(queue, "j0", old["fence"])
    with pytest.raises(StaleFence):
        await check(queue, "j0", old["fence"])
    assert await check(queue, "j0", new["fence"])


async def test_a_lapsed_lease_with_the_current_fence_renews(queue: Database) -> None:
    row = await claim(queue, SHORT)
    await asyncio.sleep(0.1)
    renewed = await renew(queue, "j0", row["fence"])
    async with queue.transaction() as tx:
        left = renewed["lease_expires_at"] - await database_time(tx)
    assert timedelta(seconds=25) < left < timedelta(seconds=31)


async def test_nobody_holds_what_has_ended(queue: Database) -> None:
    row = await claim(queue)
    async with queue.transaction() as tx:
        await tx.execute(jobs.update().where(jobs.c.id == "j0").values(state="SUCCEEDED"))
    with pytest.raises(StaleFence):
        await renew(queue, "j0", row["fence"])
    with pytest.raises(StaleFence):
        await check(queue, "j0", row["fence"])
    with pytest.raises(NotFound):
        await check(queue, "none", 1)


async def test_writes_beside_a_checked_fence_are_fenced(queue: Database) -> None:
    row = await claim(queue)

    async def take_over() -> None:
        async with queue.transaction() as tx:
            await tx.execute(jobs.update().where(jobs.c.id == "j0").values(fence=jobs.c.fence + 1))

    async with queue.transaction() as tx:
        await QUEUE.check_fence(tx, tenant="t", id_="j0", fence=row["fence"])
        taking = asyncio.create_task(take_over())
        await asyncio.sleep(0.1)
        assert not taking.done()
    await taking


async def test_expired_leases_are_found_only_after_one_ttl_of_service(queue: Database) -> None:
    await claim(queue, SHORT)
    await claim(queue)
    async with queue.transaction() as tx:
        just_started = await database_time(tx)
        assert await QUEUE.expired(tx, serving_since=just_started) == []
    await asyncio.sleep(0.1)
    async with queue.transaction() as tx:
        assert await QUEUE.expired(tx, serving_since=just_started) == []
        assert [row["id"] for row in await SHORT.expired(tx, serving_since=just_started)] == ["j0"]
        async with queue.transaction() as other:
            assert await SHORT.expired(other, serving_since=just_started) == []


# --- Blobs ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Any) -> ObjectStore:
    return DirectoryStore(tmp_path / "objects")


@pytest.fixture
async def mine(db: Database, store: ObjectStore) -> Blobs:
    return Blobs(db, blobs, store, "data")


async def keys(store: ObjectStore) -> list[str]:
    return [one.key async for one in store.list("")]


async def test_content_is_kept_once(mine: Blobs, store: ObjectStore) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"con"
        yield b"tent"

    first = await mine.put(b"content")
    assert await mine.put(stream()) == first
    assert await mine.find(first.sha256) == first
    assert await keys(store) == [first.key]
    assert first.key.startswith("data/blobs/")
    assert [piece async for piece in mine.open(first, 3)] == [b"tent"]


async def test_content_that_is_not_what_was_promised(mine: Blobs, store: ObjectStore) -> None:
    with pytest.raises(DigestMismatch):
        await mine.put(b"content", sha256="0" * 64)
    assert await keys(store) == []


async def test_adopting_another_services_content(mine: Blobs, store: ObjectStore, db: Database) -> None:
    written = await store.put("training/blobs/xy/z", b"checkpoint")
    theirs = StoredBlob(sha256=written.sha256, size_bytes=10, key="training/blobs/xy/z")
    ours = await mine.adopt(theirs)
    assert await mine.adopt(theirs) == ours
    await store.delete(theirs.key)
    assert [piece async for piece in mine.open(ours)] == [b"checkpoint"]
    with pytest.raises(ContentMissing):
        await mine.adopt(StoredBlob(sha256="1" * 64, size_bytes=10, key="training/blobs/xy/z"))


async def test_garbage(mine: Blobs, store: ObjectStore, db: Database) -> None:
    used, unused, young = await mine.put(b"used"), await mine.put(b"unused"), await mine.put(b"young")
    async with db.transaction() as tx:
        old = func.clock_timestamp() - timedelta(days=2)
        await tx.execute(blobs.update().where(blobs.c.sha256 != young.sha256).values(create_time=old))
    # Met again: someone is about to use it.
    again = await mine.put(b"unused")
    assert again == unused
    async with db.transaction() as tx:
        day_ago = await database_time(tx) - timedelta(days=1)
        assert await mine.collect(tx, unused_before=day_ago, used={used.sha256}) == 0
        await tx.execute(blobs.update().where(blobs.c.sha256 == unused.sha256).values(create_time=LONG_AGO))
        assert await mine.collect(tx, unused_before=day_ago, used={used.sha256}) == 1
    assert sorted(await keys(store)) == sorted([used.key, young.key])
