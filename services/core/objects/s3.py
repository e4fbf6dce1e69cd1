"""An object store in MinIO or any other S3, through the `minio` package in threads."""

import asyncio
import hashlib
import io
import queue
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio.commonconfig import ComposeSource, CopySource
from minio.credentials import StaticProvider
from minio.error import MinioException, S3Error

from services.core.errors import ContentMissing, DiskFull, Unavailable
from services.core.objects.part_copies import JoiningMinio
from services.core.objects.part_requests import PartRequests
from services.core.objects.store import CHUNK_BYTES, PART_BYTES, Content, StoredObject, Written, check_key

P = ParamSpec("P")
T = TypeVar("T")
_MISSING = frozenset({"NoSuchKey", "NoSuchObject"})
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded"})
_LARGEST_COPY = 5 << 30
_THREADS = 32
_CONNECTIONS = 32
_TIMEOUT = urllib3.Timeout(connect=3, read=60)
_DEPENDENCY = "object store"


class S3Store:
    """Objects of one bucket. `public_url` is the host that presigned addresses name (signatures cover it)."""

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        secure: bool = False,
        region: str = "us-east-1",
        public_url: str | None = None,
    ) -> None:
        self._bucket = bucket
        # Of its own: an upload holds its thread while it waits for a slow client.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        credentials = StaticProvider(access_key, secret_key) if access_key else None
        client = partial(JoiningMinio, credentials=credentials, region=region, http_client=_pool())
        self._client = self._public = client(endpoint, secure=secure)
        if public_url is not None:
            parts = urlsplit(public_url)
            self._public = client(parts.netloc, secure=parts.scheme == "https")
        self._requests = PartRequests(self._client, bucket, region=region, credentials=credentials, pool=_pool())

    async def put(self, key: str, content: Content) -> Written:
        """Stores bytes or a stream; up to 8 MiB go in one request, more as a multipart upload."""
        check_key(key)
        if isinstance(content, bytes):
            return await self._in_thread(self._put_bytes, key, content)
        pieces = content.__aiter__()
        first, size = [], 0
        async for piece in pieces:
            first.append(piece)
            size += len(piece)
            if size > PART_BYTES:
                return await self._put_stream(key, first, pieces)
        return await self._in_thread(self._put_bytes, key, b"".join(first))

    async def put_part(self, key: str, pieces: Sequence[bytes]) -> None:
        """One request."""
        await self._in_thread(self._requests.put, check_key(key), pieces)

    async def open(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Reads a range in pieces of 1 MiB."""
        size = await self.stat(key)
        if size is None:
            raise ContentMissing(key)
        left = max(0, size - offset) if length is None else min(length, max(0, size - offset))
        if left == 0:
            return
        response = await self._in_thread(self._client.get_object, self._bucket, key, offset, left)
        try:
            while piece := await self._in_thread(response.read, CHUNK_BYTES):
                yield piece
        finally:
            response.close()
            response.release_conn()

    async def stat(self, key: str) -> int | None:
        """Size in bytes, None when absent."""
        try:
            found = await self._in_thread(self._client.stat_object, self._bucket, check_key(key))
        except ContentMissing:
            return None
        return int(found.size)

    async def copy(self, source: str, target: str) -> None:
        """A server-side copy."""
        check_key(target)
        size = await self.stat(source)
        if size is None:
            raise ContentMissing(source)
        if size > _LARGEST_COPY:
            return await self.compose([source], target)
        await self._in_thread(self._client.copy_object, self._bucket, target, CopySource(self._bucket, source))
        return None

    async def compose(self, parts: Sequence[str], target: str) -> None:
        """A server-side join, a few parts at a time."""
        sources = [check_key(part) for part in parts]
        if len(sources) > 1:
            return await self._in_thread(self._client.join, self._bucket, sources, check_key(target))
        whole = [ComposeSource(self._bucket, source) for source in sources]
        await self._in_thread(self._client.compose_object, self._bucket, check_key(target), whole)
        return None

    async def delete(self, key: str) -> None:
        """Removes an object."""
        await self._in_thread(self._client.remove_object, self._bucket, check_key(key))

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Objects whose key starts with `prefix`."""
        found = await self._in_thread(lambda: list(self._client.list_objects(self._bucket, prefix, recursive=True)))
        for one in found:
            yield StoredObject(one.object_name, int(one.size), one.last_modified or datetime.now(UTC))

    async def read_url(self, key: str, ttl_s: float) -> str:
        """A presigned GET."""
        lasts = timedelta(seconds=ttl_s)
        return await self._in_thread(self._public.presigned_get_object, self._bucket, check_key(key), lasts)

    async def write_url(self, key: str, ttl_s: float) -> str:
        """A presigned PUT."""
        lasts = timedelta(seconds=ttl_s)
        return await self._in_thread(self._public.presigned_put_object, self._bucket, check_key(key), lasts)

    async def check(self) -> None:
        """Whether the bucket answers; makes it when it is missing."""
        if not await self._in_thread(self._client.bucket_exists, self._bucket):
            await self._in_thread(self._make_bucket)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a blocking call beside the loop."""
        with _translated():
            running = asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))
            return await running

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def _put_bytes(self, key: str, content: bytes) -> Written:
        self._requests.put(key, [content])
        return Written(len(content), hashlib.sha256(content).hexdigest())

    async def _put_stream(self, key: str, first: Sequence[bytes], rest: AsyncIterator[bytes]) -> Written:
        reader = _Reader()
        upload = asyncio.create_task(
            self._in_thread(self._client.put_object, self._bucket, key, reader, -1, part_size=PART_BYTES)
        )
        try:
            for piece in first:
                await reader.feed(piece, upload)
            async for piece in rest:
                await reader.feed(piece, upload)
            await reader.feed(b"", upload)
        except BaseException:
            # An upload that fails half-way is aborted by the package; nothing becomes visible.
            reader.fail()
            await asyncio.gather(upload, return_exceptions=True)
            raise
        await upload
        return reader.written()


class _Reader(io.RawIOBase):
    """The file that `put_object` reads in its thread, fed from the loop two pieces ahead at most."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: queue.Queue[bytes] = queue.Queue(maxsize=2)
        self._rest = memoryview(b"")
        self._digest = hashlib.sha256()
        self._size = 0
        self._ended = False
        self._failed = False

    async def feed(self, piece: bytes, upload: "asyncio.Task[Any]") -> None:
        """Hands on a piece; an empty one is the end. Raises what ended the upload."""
        while self._pieces.full():
            if upload.done():
                upload.result()
            await asyncio.sleep(0.002)
        self._pieces.put_nowait(piece)

    def fail(self) -> None:
        """Makes the upload fail at its next read."""
        self._failed = True
        with suppress(queue.Full):
            self._pieces.put_nowait(b"")

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        taken, got = [], 0
        while got < size and not self._ended:
            if not self._rest:
                self._next()
            piece = self._rest[: size - got]
            self._rest = self._rest[len(piece) :]
            taken.append(piece)
            got += len(piece)
        return b"".join(taken)

    def _next(self) -> None:
        piece = self._pieces.get()
        if self._failed:
            raise OSError("the sender went away")
        self._ended = not piece
        self._digest.update(piece)
        self._size += len(piece)
        self._rest = memoryview(piece)

    def written(self) -> Written:
        """What went through."""
        return Written(self._size, self._digest.hexdigest())


def _pool() -> urllib3.PoolManager:
    retries = urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504])
    return urllib3.PoolManager(num_pools=4, maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=retries)


@contextmanager
def _translated() -> Iterator[None]:
    """What the store answers, as a domain error."""
    try:
        yield
    except S3Error as error:
        if error.code in _MISSING:
            raise ContentMissing(str(error.object_name or "?")) from error
        if error.code in _FULL:
            raise DiskFull from error
        raise Unavailable(_DEPENDENCY) from error
    except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(_DEPENDENCY) from error
