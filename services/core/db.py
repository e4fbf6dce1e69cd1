"""PostgreSQL: units of work through SQLAlchemy Core, and a faster way for hot reads."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.core.errors import InvalidArgument, Unavailable

DEPENDENCY = "database"
_RECONNECT_WITHIN_S = 5.0
_CONNECT_TIMEOUT_S = 3
_CHECK_WITHIN_S = 2.0
_HOT_CONNECTIONS = 8
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests)


class Database:
    """One service's schema. Nothing is connected before the first use, and every use rides over a restart.

    A database that stays away, a deadlock or a serialization failure is `Unavailable`.
    """

    def __init__(self, url: str, schema: str, *, connections: int = 10) -> None:
        if re.fullmatch(r"[a-z_][a-z0-9_]*", schema) is None:
            raise ValueError(f"not a schema name: {schema!r}")
        self.schema = schema
        self._url = url
        self._options = f"-c search_path={schema} -c timezone=UTC"
        self._engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=_RECONNECT_WITHIN_S,
        )
        self._hot: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]] | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One unit of work: committed when the block ends, rolled back when it raises."""
        with _translated():
            async with self._engine.begin() as connection:
                yield connection

    async def fetch_one(
        self, sql: LiteralString, params: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """The first row of a query outside any transaction, prepared on the server at its second use."""
        rows = await self.fetch_all(sql, params)
        return rows[0] if rows else None

    async def fetch_all(
        self, sql: LiteralString, params: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> list[dict[str, Any]]:
        """All rows of a query outside any transaction. Must only read: it is repeated on a lost connection."""
        pool = self._hot or await self._open_pool()
        with _translated():
            try:
                return await self._read(pool, sql, params)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await pool.check()
                return await self._read(pool, sql, params)

    async def check(self) -> None:
        """Raises Unavailable unless the database answers now."""
        pool = self._hot or await self._open_pool()
        with _translated():
            try:
                async with asyncio.timeout(_CHECK_WITHIN_S):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._read(pool, "SELECT 1 AS one", None)
            except TimeoutError as error:
                raise Unavailable(DEPENDENCY) from error

    async def close(self) -> None:
        """Closes all connections."""
        if self._hot is not None:
            await self._hot.close()
        await self._engine.dispose()

    async def _read(
        self, pool: "AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]", sql: LiteralString, params: Any
    ) -> list[dict[str, Any]]:
        async with pool.connection() as connection:
            cursor = await connection.execute(sql, params)
            return await cursor.fetchall()

    async def _open_pool(self) -> "AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]":
        async with self._opening:
            if self._hot is None:
                pool = AsyncConnectionPool(
                    self._url,
                    connection_class=psycopg.AsyncConnection[DictRow],
                    kwargs={
                        "autocommit": True,
                        "row_factory": dict_row,
                        "options": self._options,
                        "prepare_threshold": 1,
                        "connect_timeout": _CONNECT_TIMEOUT_S,
                    },
                    min_size=1,
                    max_size=_HOT_CONNECTIONS,
                    timeout=_RECONNECT_WITHIN_S,
                    # Waiting longer between attempts would leave us away long after the database is back.
                    reconnect_timeout=_RECONNECT_WITHIN_S,
                    open=False,
                )
                await pool.open()
                self._hot = pool
            return self._hot

    async def _connect(self) -> "psycopg.AsyncConnection[Any]":
        """Connects, waiting a few seconds for a database that is just restarting."""
        give_up_at = monotonic() + _RECONNECT_WITHIN_S
        while True:
            try:
                return await psycopg.AsyncConnection.connect(
                    self._url, options=self._options, connect_timeout=_CONNECT_TIMEOUT_S
                )
            except psycopg.OperationalError:
                if monotonic() > give_up_at:
                    raise
                await asyncio.sleep(0.1)


@contextmanager
def _translated() -> Iterator[None]:
    """Turns what the drivers raise into domain errors where a client can do something about it."""
    try:
        yield
    except (*_LOST, exc.TimeoutError) as error:
        raise Unavailable(DEPENDENCY) from error
    except psycopg.DataError as error:
        raise _refused(error) from error
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.DataError):
            raise _refused(error.orig) from error
        if error.connection_invalidated or isinstance(error.orig, _LOST):
            raise Unavailable(DEPENDENCY) from error
        raise


def _refused(error: psycopg.DataError) -> Exception:
    """Text with NUL cannot be stored; any other data error is a fault of ours."""
    if "NUL" not in str(error):
        return error
    return InvalidArgument.field(
        "text", "NUL_CHARACTER", "Text must not contain NUL.", "文字列に NUL 文字を含めることはできません。"
    )
