"""Receives the bytes of one stream: while a part is hashed and stored, the next one comes in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from services.core.names import new_id
from services.core.objects import ObjectStore
from services.data_service.running_digest import DigestStates, RunningDigest
from services.data_service.upload import PART_BYTES, Part, Upload
from services.data_service.upload_store import UploadStore

IN_FLIGHT = 4
"""Parts of one stream on their way to the store: S3 needs as many requests at a time to be kept busy."""
IN_FLIGHT_IN_ALL = 8
"""Parts of all streams on their way. Beside them, each stream holds the part that is coming in, 8 MiB at most."""


def parts_prefix(uid: str) -> str:
    """Where the parts of an upload lie; whatever is left there goes when the upload ends."""
    return f"data/uploads/{uid}/"


class UploadStream:
    """The one writer of an upload, as an asynchronous context: parts on their way are dropped when it is left early.

    Args:
        uploads: commits the parts.
        objects: takes them.
        states: known digests of the bytes before.
        slots: as many as there may be parts on their way in all.
        upload: as `UploadStore.begin` gave it.
        tail: the committed bytes behind the last whole part; they are stored again together with what follows.
    """

    def __init__(
        self,
        uploads: UploadStore,
        objects: ObjectStore,
        states: DigestStates,
        slots: asyncio.Semaphore,
        upload: Upload,
        tail: bytes,
    ) -> None:
        self._uploads = uploads
        self._objects = objects
        self._states = states
        self._slots = slots
        self.upload = upload
        """As it was committed last."""
        self.received_bytes = upload.committed_bytes
        """The offset at which the next bytes belong."""
        state = states.at(upload.uid, upload.committed_bytes)
        # Without a state, the bytes are read again at the end.
        self._digest = None if state is None else RunningDigest(state)
        self._tail = [tail] if tail else []
        self._fresh: list[bytes] = []
        self._part_bytes = len(tail)
        self._running: deque[asyncio.Task[None]] = deque()

    async def take(self, data: bytes) -> None:
        """Takes the next bytes; waits while enough parts are on their way."""
        while data:
            piece = data[: PART_BYTES - self._part_bytes]
            data = data[len(piece) :]
            self._fresh.append(piece)
            self._part_bytes += len(piece)
            self.received_bytes += len(piece)
            if self._part_bytes == PART_BYTES:
                await self._send()

    async def finish(self) -> Upload:
        """Stores what is left; the upload with everything committed."""
        if self._fresh:
            await self._send()
        while self._running:
            await self._running.popleft()
        return self.upload

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _send(self) -> None:
        while len(self._running) >= IN_FLIGHT:
            await self._running.popleft()
        part = Part(
            offset_bytes=self.received_bytes - self._part_bytes,
            size_bytes=self._part_bytes,
            key=parts_prefix(self.upload.uid) + new_id(),
        )
        await self._slots.acquire()
        before = self._running[-1] if self._running else None
        storing = asyncio.create_task(self._store(part, self._tail, self._fresh, before))
        storing.add_done_callback(lambda _: self._slots.release())
        self._running.append(storing)
        self._tail, self._fresh, self._part_bytes = [], [], 0

    async def _store(
        self, part: Part, tail: list[bytes], fresh: list[bytes], before: asyncio.Task[None] | None
    ) -> None:
        """Stores and hashes at the same time, and commits when the part before is committed."""
        putting = self._objects.put_part(part.key, tail + fresh)
        if self._digest is None:
            await putting
            state = None
        else:
            state, _ = await asyncio.gather(self._digest.add(fresh), putting)
        if before is not None:
            await before
        self.upload = await self._uploads.commit_part(self.upload, part)
        if state is not None:
            self._states.keep(self.upload.uid, self.upload.committed_bytes, state)
