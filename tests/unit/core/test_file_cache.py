"""Folders arrive whole, verified and once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from services.core.file_cache import DigestMismatch, FileCache, RemoteFile
from tests.small_disk import small_disk

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def remote(url: str, sha256: str = SHA256, path: str = "weights/model.safetensors") -> RemoteFile:
    return RemoteFile(path=path, size_bytes=len(CONTENT), sha256=sha256, url=url)


@pytest.fixture
def stored(tmp_path: Path) -> str:
    file = tmp_path / "store" / "blob"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file.as_uri()


@pytest.fixture
async def flaky_url() -> AsyncIterator[str]:
    """A server that cuts the first answer in the middle and honours ranges afterwards."""
    calls = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        start = request.http_range.start or 0
        response = web.StreamResponse(
            status=206 if start else 200, headers={"Content-Length": str(len(CONTENT) - start)}
        )
        await response.prepare(request)
        if calls == 1:
            await response.write(CONTENT[: len(CONTENT) // 3])
            assert request.transport is not None
            request.transport.close()
            return response
        assert start > 0, "the second call goes on where the first was cut"
        await response.write(CONTENT[start:])
        return response

    application = web.Application()
    application.router.add_get("/blob", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/blob"
    await runner.cleanup()


async def test_files_come_with_their_folders(tmp_path: Path, stored: str) -> None:
    told: list[int] = []
    folder = await FileCache(tmp_path / "cache").fetch("d1", [remote(stored)], told.append)
    assert (folder / "weights/model.safetensors").read_bytes() == CONTENT
    assert told[-1] == len(CONTENT)


async def test_a_wrong_digest_leaves_nothing(tmp_path: Path, stored: str) -> None:
    cache = FileCache(tmp_path / "cache")
    with pytest.raises(DigestMismatch, match=SHA256):
        await cache.fetch("d1", [remote(stored, sha256="0" * 64)])
    assert not (tmp_path / "cache" / "d1").exists()
    assert (await cache.fetch("d1", [remote(stored)])).is_dir()


async def test_a_cut_download_goes_on(tmp_path: Path, flaky_url: str) -> None:
    folder = await FileCache(tmp_path / "cache").fetch("d1", [remote(flaky_url)])
    assert (folder / "weights/model.safetensors").read_bytes() == CONTENT


async def test_two_at_once_fetch_once(tmp_path: Path, stored: str) -> None:
    one, two = FileCache(tmp_path / "cache"), FileCache(tmp_path / "cache")
    folders = await asyncio.gather(one.fetch("d1", [remote(stored)]), two.fetch("d1", [remote(stored)]))
    assert folders[0] == folders[1]


async def test_what_finds_no_room_leaves_the_room_to_others(tmp_path: Path, stored: str) -> None:
    with small_disk(tmp_path / "cache", len(CONTENT) // 2) as root:
        with pytest.raises(OSError, match="No space"):
            await FileCache(root).fetch("d1", [remote(stored)])
        assert [path.name for path in root.iterdir()] == [".d1.lock"]


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../out", "nul\0", ""])
async def test_paths_stay_inside(tmp_path: Path, stored: str, path: str) -> None:
    with pytest.raises(ValueError, match="not a relative path"):
        await FileCache(tmp_path / "cache").fetch("d1", [remote(stored, path=path)])


async def test_other_schemes_and_names_are_refused(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    with pytest.raises(ValueError, match="only file:"):
        await cache.fetch("d1", [remote("ftp://127.0.0.1/x")])
    with pytest.raises(ValueError, match="not a digest"):
        await cache.fetch("../d1", [])
