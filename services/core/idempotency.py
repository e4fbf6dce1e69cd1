"""Writes that are safe to repeat: the first result of a request_id is kept, another payload under it is refused."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import Message
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Table, Text, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.core import context
from services.core.errors import InvalidArgument, RequestIdReused

KEPT_FOR = timedelta(days=7)
_MAX_CHARS = 128


def requests_table(metadata: MetaData) -> Table:
    """The table of answered requests, for a service's store. Its migration makes the same columns."""
    return Table(
        "requests",
        metadata,
        Column("tenant", Text, primary_key=True),
        Column("method", Text, primary_key=True),
        Column("request_id", Text, primary_key=True),
        Column("payload_sha256", LargeBinary, nullable=False),
        Column("resource", Text, nullable=False, server_default=""),
        Column("create_time", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    )


@dataclass(frozen=True, kw_only=True)
class RequestKey:
    """One request of one client. `request_id` is empty when the client sent none; then nothing is remembered."""

    tenant: str
    method: str
    request_id: str
    payload_sha256: bytes


def key_of(request: Message) -> RequestKey:
    """The key of the current call's request, which has a field `request_id`. Raises InvalidArgument."""
    call = context.current()
    request_id = str(getattr(request, "request_id"))  # noqa: B009 - not every Message has it
    if len(request_id) > _MAX_CHARS or not request_id.isprintable():
        raise InvalidArgument.field(
            "request_id",
            "INVALID_REQUEST_ID",
            f"Must be at most {_MAX_CHARS} printable characters; a random UUID serves.",
            f"印字可能な {_MAX_CHARS} 文字以内の値 (ランダムな UUID など) にしてください。",
        )
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    return RequestKey(tenant=call.tenant, method=call.method, request_id=request_id, payload_sha256=digest)


async def recall(tx: AsyncConnection, table: Table, key: RequestKey) -> str | None:
    """The resource that this request made before, None the first time.

    The first time, the request is taken in the same transaction: a second one with the same id waits for it to
    commit or roll back. Raises RequestIdReused for another payload.
    """
    if not key.request_id:
        return None
    values = {
        "tenant": key.tenant,
        "method": key.method,
        "request_id": key.request_id,
        "payload_sha256": key.payload_sha256,
    }
    taken = await tx.execute(insert(table).values(values).on_conflict_do_nothing().returning(table.c.request_id))
    if taken.first() is not None:
        return None
    columns = table.c
    found = await tx.execute(
        table.select().where(
            columns.tenant == key.tenant, columns.method == key.method, columns.request_id == key.request_id
        )
    )
    row = found.one()
    if bytes(row.payload_sha256) != key.payload_sha256:
        raise RequestIdReused(key.request_id)
    return str(row.resource)


async def record(tx: AsyncConnection, table: Table, key: RequestKey, resource: str) -> None:
    """Keeps what the request made, in the transaction that made it."""
    if not key.request_id:
        return
    columns = table.c
    await tx.execute(
        table.update()
        .where(columns.tenant == key.tenant, columns.method == key.method, columns.request_id == key.request_id)
        .values(resource=resource)
    )


async def forget(tx: AsyncConnection, table: Table) -> int:
    """Removes requests older than seven days; how many."""
    done = await tx.execute(table.delete().where(table.c.create_time < func.clock_timestamp() - KEPT_FOR))
    return int(done.rowcount)
