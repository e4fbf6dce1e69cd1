"""Files of the configured object store that imports may read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from services.core.objects import CHUNK_BYTES
from services.data_service.child import Progress
from services.data_service.settings import DataSettings
from services.data_service.sources.errors import (
    BucketNotAllowed,
    NoS3Store,
    SourceNotFound,
    SourceTooLarge,
    SourceUnreachable,
)
from services.data_service.sources.source import Fetched, filename_of
from services.data_service.workspace import Workspace

if TYPE_CHECKING:
    from minio import Minio

SCHEME = "s3:"
_OWN_PREFIXES = ("data/", "training/", "registry/", "inference/")
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "AccessDenied", "NoSuchObject"})


class AllowedBuckets:
    """Buckets that imports may read: "bucket", or "bucket/folder". What the services keep is never among it."""

    def __init__(self, entries: Sequence[str], own_bucket: str) -> None:
        self._entries = [entry.strip().strip("/") for entry in entries if entry.strip().strip("/")]
        self._own_bucket = own_bucket

    def check(self, bucket: str, key: str) -> None:
        """Raises BucketNotAllowed."""
        place = f"{bucket}/{key}"
        ours = bucket == self._own_bucket
        allowed = any(place.startswith(f"{entry}/") for entry in self._entries if not ours or entry != self._own_bucket)
        if not allowed or (ours and key.startswith(_OWN_PREFIXES)) or ".." in key.split("/"):
            raise BucketNotAllowed(f"s3://{place}"[:300])


class S3Source:
    """Streams objects of the store that the services keep theirs in, where that is an S3 store."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._buckets = AllowedBuckets(settings.import_buckets, settings.s3_bucket)

    def check(self, uri: str) -> None:
        """Raises BucketNotAllowed, NoS3Store."""
        self._buckets.check(*_parts(uri))
        if self._settings.object_store != "s3":
            raise NoS3Store(uri[:300])

    async def fetch(self, place: str, space: Workspace) -> Fetched:
        """The object. Raises BucketNotAllowed, NoS3Store, SourceNotFound, SourceTooLarge, SourceUnreachable."""
        bucket, key = _parts(place)
        self.check(place)
        return Fetched(filename=filename_of(key), content=self._content(place, bucket, key, space), source=place)

    async def _content(self, place: str, bucket: str, key: str, space: Workspace) -> AsyncIterator[bytes]:
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            response = await asyncio.to_thread(self._client().get_object, bucket, key)
            try:
                async for piece in self._pieces(place, response, space):
                    yield piece
            finally:
                response.close()
                response.release_conn()
        except S3Error as error:
            if error.code in _MISSING:
                raise SourceNotFound(place) from error
            raise SourceUnreachable(place, str(error.code)) from error
        except (MinioException, HTTPError, OSError) as error:
            raise SourceUnreachable(place, type(error).__name__) from error

    async def _pieces(self, place: str, response: Any, space: Workspace) -> AsyncIterator[bytes]:
        done = 0
        while piece := await asyncio.to_thread(response.read, CHUNK_BYTES):
            done += len(piece)
            if done > self._settings.max_upload_bytes:
                raise SourceTooLarge(place, limit=self._settings.max_upload_bytes)
            space.progress = Progress(done, 0)
            yield piece
        promised = int(response.headers.get("Content-Length", done))
        if done != promised:
            raise SourceUnreachable(place, f"{done} of {promised} bytes came")

    def _client(self) -> Minio:
        from minio import Minio

        settings = self._settings
        return Minio(
            settings.s3_endpoint,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
            secure=settings.s3_secure,
            region=settings.s3_region,
        )


def _parts(uri: str) -> tuple[str, str]:
    """Bucket and key of "s3://bucket/key"."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
