"""An object store that is away, full or in the wrong place says so in words of the domain."""

import errno
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.core.errors import DiskFull, Unavailable
from services.core.objects import ObjectStore, open_store
from services.core.objects.directory import DirectoryStore
from services.core.objects.s3 import S3Store
from services.core.settings import Settings


def nowhere(port: int) -> S3Store:
    return S3Store(endpoint=f"127.0.0.1:{port}", bucket="bucket", access_key="access", secret_key="secret-key")


async def all_fail(store: ObjectStore) -> None:
    with pytest.raises(Unavailable):
        await store.check()
    with pytest.raises(Unavailable):
        await store.put("a/b", b"x")
    with pytest.raises(Unavailable):
        await anext(store.open("a/b"))


async def test_an_s3_server_that_is_not_there(free_port: int) -> None:
    started = time.monotonic()
    await all_fail(nowhere(free_port))
    assert time.monotonic() - started < 15


async def test_presigning_needs_no_server(free_port: int) -> None:
    store = S3Store(
        endpoint=f"127.0.0.1:{free_port}",
        bucket="bucket",
        access_key="access",
        secret_key="secret-key",
        public_url="https://objects.example:9443",
    )
    url = await store.read_url("a/b", 60)
    assert url.startswith("https://objects.example:9443/bucket/a/b?")
    assert "secret-key" not in url


async def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("in the way")
    await all_fail(DirectoryStore(tmp_path / "objects"))


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    await store.put("a/kept", b"x")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.core.objects.directory.os.fsync", full)
    with pytest.raises(DiskFull):
        await store.put("a/b", b"x")
    assert await store.stat("a/b") is None
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept"]


async def test_a_failed_put_leaves_no_file_behind(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with pytest.raises(ValueError, match="not an object key"):
        await store.put("../x", b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_settings_choose(tmp_path: Path) -> None:
    url = SecretStr("postgresql://x")
    assert isinstance(open_store(Settings(state_dir=tmp_path, database_url=url)), DirectoryStore)
    assert isinstance(open_store(Settings(state_dir=tmp_path, database_url=url, object_store="s3")), S3Store)
