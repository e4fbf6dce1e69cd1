"""Files on their way in: written by one stream at a time, gone on with after any break, and closed."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from services.core import names
from services.core.blobs import Blobs, StoredBlob
from services.core.errors import InvalidArgument
from services.core.idempotency import RequestKey
from services.core.objects import ObjectStore
from services.data_service.running_digest import DigestStates
from services.data_service.upload import MAX_CHUNK_BYTES, PART_BYTES, Part, Upload, UploadState
from services.data_service.upload_closing import UploadClosing, check_digest
from services.data_service.upload_errors import (
    FileTooLarge,
    UploadNotFinalized,
    UploadNotOpen,
    UploadOffset,
    UploadSuperseded,
    UploadTooLarge,
)
from services.data_service.upload_store import UploadStore
from services.data_service.upload_stream import IN_FLIGHT_IN_ALL, UploadStream

log = logging.getLogger(__name__)

PATTERN = "uploads/{upload}"
_LOOK_EVERY_S = 0.5
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Chunk(Protocol):
    """One message of a stream; reading `data` copies it."""

    @property
    def name(self) -> str:
        """The upload's resource name; may be empty after the first message."""
        ...

    @property
    def offset_bytes(self) -> int:
        """Where the data begin in the file."""
        ...

    @property
    def data(self) -> bytes:
        """At most 1 MiB."""
        ...


class _Finalizing(NamedTuple):
    """An upload that is being closed, with the digest that its sender claims."""

    sha256: str
    task: asyncio.Task[Upload]


class Uploads:
    """Uploads of all tenants. `max_bytes` bounds one file."""

    def __init__(self, store: UploadStore, objects: ObjectStore, blobs: Blobs, max_bytes: int) -> None:
        self._store = store
        self._objects = objects
        self._max_bytes = max_bytes
        self._states = DigestStates()
        self._closing = UploadClosing(store, objects, blobs, self._states)
        self._slots = asyncio.Semaphore(IN_FLIGHT_IN_ALL)
        self._receiving: dict[str, asyncio.Task[Upload]] = {}
        self._finalizing: dict[str, _Finalizing] = {}

    async def create(self, tenant: str, filename: str, size_bytes: int, key: RequestKey) -> Upload:
        """Begins an upload. Raises InvalidArgument, FileTooLarge."""
        names.check_text(filename, field="filename", max_chars=255)
        if re.search(r"[/\\\n\t]", filename) or filename in (".", ".."):
            raise InvalidArgument.field(
                "filename", "HAS_PATH", "Must be a name without folders.", "フォルダーを含まない名前にしてください。"
            )
        if size_bytes < 0:
            raise InvalidArgument.field("size_bytes", "NEGATIVE", "Must not be negative.", "0 以上にしてください。")
        if size_bytes > self._max_bytes:
            raise FileTooLarge(size_bytes, limit_bytes=self._max_bytes)
        return await self._store.create(tenant, filename, size_bytes, key)

    async def get(self, tenant: str, name: str) -> Upload:
        """One upload. Raises NotFound."""
        return await self._store.get(tenant, names.parse(PATTERN, name)["upload"])

    async def blob(self, tenant: str, name: str) -> StoredBlob:
        """The content of a finalised upload. Raises NotFound, UploadNotFinalized."""
        upload = await self.get(tenant, name)
        if upload.state is not UploadState.FINALIZED:
            raise UploadNotFinalized(name, state=upload.state)
        return await self._store.content(upload)

    async def write(self, tenant: str, chunks: AsyncIterator[Chunk]) -> Upload:
        """Takes a stream to its end; the upload with everything committed.

        A newer stream to the same upload ends this one with UploadSuperseded, wherever either of them runs. After
        an error, whole parts that were committed stay.
        """
        first = await anext(chunks, None)
        id_ = names.parse(PATTERN, first.name if first is not None else "")["upload"]
        upload = await self._store.begin(tenant, id_)
        receiving = asyncio.create_task(self._receive(upload, first, chunks))
        self._take_over(upload, receiving)
        try:
            return await receiving
        except asyncio.CancelledError:
            if self._receiving.get(upload.uid) is not receiving:
                raise UploadSuperseded(upload.name) from None
            raise
        finally:
            if self._receiving.get(upload.uid) is receiving:
                del self._receiving[upload.uid]

    async def finalize(self, tenant: str, name: str, sha256: str) -> Upload:
        """Closes an upload; once more is the same. Raises UploadIncomplete, UploadDigest, UploadNotOpen.

        Reading and joining a large file may take longer than a caller waits. It goes on without them, and who asks
        again waits for the same work.
        """
        if sha256 and _SHA256.fullmatch(sha256) is None:
            raise InvalidArgument.field(
                "sha256",
                "INVALID_DIGEST",
                "Must be 64 lower-case hexadecimal digits, or empty.",
                "小文字の 16 進数 64 桁か、空にしてください。",
            )
        while True:
            upload = await self.get(tenant, name)
            if upload.state is UploadState.FINALIZED:
                check_digest(upload, sha256, upload.sha256)
                return upload
            running = self._finalizing.get(upload.uid)
            if running is None or running.sha256 == sha256:
                return await asyncio.shield((running or self._begin_closing(upload, sha256)).task)
            await asyncio.wait({running.task})  # of another claim, which may be wrong

    def _begin_closing(self, upload: Upload, sha256: str) -> _Finalizing:
        task = asyncio.create_task(self._close(upload, sha256), name=f"finalize {upload.name}")
        self._finalizing[upload.uid] = begun = _Finalizing(sha256, task)
        task.add_done_callback(lambda _: self._closed(upload))
        return begun

    def _closed(self, upload: Upload) -> None:
        task = self._finalizing.pop(upload.uid).task
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever asked is told, if they still wait.
            log.info("an upload stays open", extra={"upload": upload.name, "why": str(error)})

    async def _close(self, upload: Upload, sha256: str) -> Upload:
        """Closes it, unless another process of the service does: then that is waited for."""
        while True:
            try:
                ours = await self._store.begin_closing(upload.tenant, upload.id)
            except UploadNotOpen:
                closed = await self._store.get(upload.tenant, upload.id)
                if closed.state is not UploadState.FINALIZED:
                    raise
                check_digest(closed, sha256, closed.sha256)
                return closed
            if ours is not None:
                self._take_over(ours, None)
                return await self._closing.close(ours, sha256)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _receive(self, upload: Upload, first: Chunk | None, chunks: AsyncIterator[Chunk]) -> Upload:
        upload, tail = await self._resume(upload)
        async with UploadStream(self._store, self._objects, self._states, self._slots, upload, tail) as stream:
            if first is not None:
                await self._take(stream, first)
            async for chunk in chunks:
                await self._take(stream, chunk)
            return await stream.finish()

    async def _take(self, stream: UploadStream, chunk: Chunk) -> None:
        upload, data = stream.upload, chunk.data
        if chunk.name not in ("", upload.name):
            raise InvalidArgument.field(
                "name",
                "OTHER_UPLOAD",
                f"This stream writes to {upload.name}.",
                f"このストリームは {upload.name} 用です。",
            )
        if len(data) > MAX_CHUNK_BYTES:
            raise InvalidArgument.field("data", "TOO_LONG", "Must be at most 1 MiB.", "1 MiB 以内にしてください。")
        if chunk.offset_bytes != stream.received_bytes:
            upload = await stream.finish()
            raise UploadOffset(upload.name, offset_bytes=chunk.offset_bytes, committed_bytes=upload.committed_bytes)
        limit = upload.size_bytes or self._max_bytes
        if stream.received_bytes + len(data) > limit:
            raise UploadTooLarge(upload.name, size_bytes=limit)
        await stream.take(data)

    async def _resume(self, upload: Upload) -> tuple[Upload, bytes]:
        """The upload as it can be gone on with, and its bytes behind the last whole part."""
        parts = await self._store.parts(upload)
        if self._states.at(upload.uid, upload.committed_bytes) is None:
            # Another process wrote them, and parts are not forced to disk: after a power cut some may be gone.
            whole = [part async for part in self._whole(parts)]
            if len(whole) < len(parts):
                upload = await self._store.cut(upload, sum(part.size_bytes for part in whole))
            parts = whole
        if not parts or parts[-1].size_bytes == PART_BYTES:
            return upload, b""
        return upload, b"".join([piece async for piece in self._objects.open(parts[-1].key)])

    async def _whole(self, parts: list[Part]) -> AsyncIterator[Part]:
        for part in parts:
            if await self._objects.stat(part.key) != part.size_bytes:
                return
            yield part

    def _take_over(self, upload: Upload, receiving: asyncio.Task[Upload] | None) -> None:
        """Ends the stream of this process that wrote to the upload; one of another process ends at its next part."""
        before = self._receiving.pop(upload.uid, None)
        if receiving is not None:
            self._receiving[upload.uid] = receiving
        if before is not None:
            before.cancel()
