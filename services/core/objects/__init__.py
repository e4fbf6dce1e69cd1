"""Where artifacts lie: one protocol, a folder and S3."""

from services.core.objects.store import CHUNK_BYTES, PART_BYTES, Content, ObjectStore, StoredObject, Written
from services.core.settings import Settings

__all__ = ["CHUNK_BYTES", "PART_BYTES", "Content", "ObjectStore", "StoredObject", "Written", "open_store"]


def open_store(settings: Settings) -> ObjectStore:
    """The store that the settings name. Nothing is connected yet. Imports only what that store needs."""
    if settings.object_store == "file":
        from services.core.objects.directory import DirectoryStore

        return DirectoryStore(settings.objects_path)
    from services.core.objects.s3 import S3Store

    return S3Store(
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=settings.s3_secure,
        region=settings.s3_region,
        public_url=settings.s3_public_url,
    )
