"""Makes one blob of an upload's parts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from services.core.blobs import Blobs, StoredBlob
from services.core.errors import ContentMissing, DomainError
from services.core.objects import ObjectStore
from services.data_service.running_digest import DigestStates, RunningDigest
from services.data_service.upload import Part, Upload
from services.data_service.upload_errors import UploadDigest, UploadIncomplete
from services.data_service.upload_store import CLOSING_FOR, UploadStore
from services.data_service.upload_stream import parts_prefix

log = logging.getLogger(__name__)


class UploadClosing:
    """Checks size and digest of uploads and composes their parts."""

    def __init__(self, uploads: UploadStore, objects: ObjectStore, blobs: Blobs, states: DigestStates) -> None:
        self._uploads = uploads
        self._objects = objects
        self._blobs = blobs
        self._states = states
        self._removing: set[asyncio.Task[None]] = set()

    async def close(self, upload: Upload, sha256: str) -> Upload:
        """Finalises an open upload of which the caller is the writer.

        Raises UploadIncomplete when bytes are missing, UploadDigest when they are not those of `sha256` (may be
        empty); nothing is visible then.
        """
        keeping = asyncio.create_task(self._keep(upload))
        try:
            return await self._closed(upload, sha256)
        except BaseException:
            with suppress(DomainError):  # else it waits until CLOSING_FOR is over
                await self._uploads.stop_closing(upload)
            raise
        finally:
            keeping.cancel()

    async def _keep(self, upload: Upload) -> None:
        while True:
            await asyncio.sleep(CLOSING_FOR.total_seconds() / 5)
            with suppress(DomainError):  # a writer that took over is found at the end
                await self._uploads.keep_closing(upload)

    async def _closed(self, upload: Upload, sha256: str) -> Upload:
        if upload.size_bytes and upload.committed_bytes != upload.size_bytes:
            raise UploadIncomplete(upload.name, committed_bytes=upload.committed_bytes, size_bytes=upload.size_bytes)
        parts = await self._uploads.parts(upload)
        found = await self._digest(upload, parts)
        check_digest(upload, sha256, found)
        known = await self._blobs.find(found)
        blob = known or await self._compose(parts, found)
        try:
            closed = await self._uploads.finalize(upload, blob)
        except BaseException:
            if known is None:
                await self._objects.delete(blob.key)
            raise
        self._states.forget(upload.uid)
        removing = asyncio.create_task(remove_parts(self._objects, upload.uid))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)
        return closed

    async def _digest(self, upload: Upload, parts: list[Part]) -> str:
        """From the stream when this process received it whole, else by reading everything again."""
        state = self._states.at(upload.uid, upload.committed_bytes)
        counted = RunningDigest()
        for part in parts if state is None else ():
            state = await counted.add([piece async for piece in self._objects.open(part.key)])
            self._states.keep(upload.uid, part.offset_bytes + part.size_bytes, state)
        if state is None:
            raise ContentMissing(upload.name)
        return state.hexdigest()

    async def _compose(self, parts: list[Part], sha256: str) -> StoredBlob:
        blob = StoredBlob(sha256=sha256, size_bytes=sum(part.size_bytes for part in parts), key=self._blobs.new_key())
        if parts:
            await self._objects.compose([part.key for part in parts], blob.key)
        else:
            await self._objects.put(blob.key, b"")
        return blob


def check_digest(upload: Upload, expected: str, actual: str) -> None:
    """Raises UploadDigest when the sender counted another digest; an empty one is no claim."""
    if expected and expected != actual:
        raise UploadDigest(upload.name, expected=expected, actual=actual)


async def remove_parts(objects: ObjectStore, uid: str) -> None:
    """Removes whatever an ended upload left; what cannot be removed now is left to the sweeper."""
    try:
        async for found in objects.list(parts_prefix(uid)):
            await objects.delete(found.key)
    except DomainError:
        log.warning("parts of an ended upload stay for now", extra={"upload_uid": uid}, exc_info=True)
