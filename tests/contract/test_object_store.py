"""What every object store must do: the same suite on the folder and on MinIO."""

import asyncio
import errno
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from services.core.errors import ContentMissing, Unavailable
from services.core.objects import PART_BYTES, ObjectStore
from services.core.objects.directory import DirectoryStore
from services.core.objects.s3 import S3Store


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def read(store: ObjectStore, key: str, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.open(key, offset, length)])


async def test_what_is_put_is_read(object_store: ObjectStore) -> None:
    written = await object_store.put("data/one", b"abc")
    assert (written.size_bytes, written.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    assert await read(object_store, "data/one") == b"abc"
    assert await object_store.stat("data/one") == 3


async def test_empty_object(object_store: ObjectStore) -> None:
    assert (await object_store.put("data/empty", b"")).size_bytes == 0
    assert (await object_store.put("data/empty-stream", pieces())).size_bytes == 0
    assert await object_store.stat("data/empty") == 0
    assert await read(object_store, "data/empty") == b""
    assert await read(object_store, "data/empty-stream") == b""


@pytest.mark.parametrize("size", [1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 12345])
async def test_streams_of_any_size(object_store: ObjectStore, size: int) -> None:
    content = os.urandom(size)
    step = 700_000
    stream = pieces(*(content[i : i + step] for i in range(0, size, step)))
    written = await object_store.put("data/stream", stream)
    assert (written.size_bytes, written.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert await read(object_store, "data/stream") == content


async def test_ranges(object_store: ObjectStore) -> None:
    content = os.urandom(3_000_000)
    await object_store.put("data/ranged", content)
    assert await read(object_store, "data/ranged", 10, 5) == content[10:15]
    assert await read(object_store, "data/ranged", 2_999_990) == content[-10:]
    assert await read(object_store, "data/ranged", 2_999_990, 500) == content[-10:]
    assert await read(object_store, "data/ranged", 1, 2_000_000) == content[1:2_000_001]
    assert await read(object_store, "data/ranged", 3_000_000) == b""
    assert await read(object_store, "data/ranged", 4_000_000, 5) == b""
    assert await read(object_store, "data/ranged", 5, 0) == b""


async def test_pieces_are_bounded(object_store: ObjectStore) -> None:
    await object_store.put("data/pieces", bytes(2_500_000))
    sizes = [len(piece) async for piece in object_store.open("data/pieces")]
    assert sum(sizes) == 2_500_000
    assert max(sizes) <= 1 << 20


async def test_a_reader_may_leave_early(object_store: ObjectStore) -> None:
    await object_store.put("data/left", bytes(4_000_000))
    reader = object_store.open("data/left")
    assert await anext(reader)
    await reader.aclose()  # type: ignore[attr-defined]
    assert await object_store.stat("data/left") == 4_000_000


async def test_missing_objects(object_store: ObjectStore) -> None:
    assert await object_store.stat("data/none") is None
    await object_store.delete("data/none")
    with pytest.raises(ContentMissing):
        await read(object_store, "data/none")
    with pytest.raises(ContentMissing):
        await object_store.copy("data/none", "data/other")
    with pytest.raises(ContentMissing):
        await object_store.compose(["data/none", "data/none-either"], "data/other")
    assert await object_store.stat("data/other") is None


async def test_last_writer_wins_and_readers_keep_what_they_opened(object_store: ObjectStore) -> None:
    await object_store.put("data/over", b"first")
    await object_store.put("data/over", b"second one")
    assert await read(object_store, "data/over") == b"second one"


async def test_copy(object_store: ObjectStore) -> None:
    await object_store.put("data/source", b"content")
    await object_store.copy("data/source", "registry/deep/er/copy")
    await object_store.copy("data/source", "registry/deep/er/copy")
    await object_store.delete("data/source")
    assert await read(object_store, "registry/deep/er/copy") == b"content"


async def test_overwriting_a_source_leaves_its_copy(object_store: ObjectStore) -> None:
    await object_store.put("data/source", b"old")
    await object_store.copy("data/source", "data/copy")
    await object_store.put("data/source", b"new")
    assert await read(object_store, "data/copy") == b"old"


async def test_a_part_is_its_pieces_joined(object_store: ObjectStore) -> None:
    await object_store.put_part("data/parts/one", [b"abc", b"", b"def"])
    assert await object_store.stat("data/parts/one") == 6
    assert b"".join([piece async for piece in object_store.open("data/parts/one")]) == b"abcdef"
    assert [found.key async for found in object_store.list("data/")] == ["data/parts/one"]


async def test_compose(object_store: ObjectStore) -> None:
    parts = [os.urandom(PART_BYTES), os.urandom(PART_BYTES), b"tail"]
    for number, part in enumerate(parts):
        await object_store.put(f"data/part-{number}", part)
    await object_store.compose([f"data/part-{n}" for n in range(3)], "data/whole")
    assert await read(object_store, "data/whole") == b"".join(parts)
    await object_store.compose(["data/part-2"], "data/only")
    assert await read(object_store, "data/only") == b"tail"
    assert await object_store.stat("data/part-0") == PART_BYTES


async def test_compose_of_many_parts(object_store: ObjectStore) -> None:
    pieces = [os.urandom(PART_BYTES), os.urandom(PART_BYTES), os.urandom(PART_BYTES), b"the rest"]
    for number, piece in enumerate(pieces):
        await object_store.put_part(f"many/{number}", [piece[:100], piece[100:]])
    await object_store.compose([f"many/{number}" for number in range(len(pieces))], "many/whole")
    assert await read(object_store, "many/whole") == b"".join(pieces)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EOPNOTSUPP])
async def test_compose_where_the_kernel_cannot_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "not here")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    await test_compose(DirectoryStore(tmp_path))


async def test_a_part_that_was_spoilt_on_its_way_is_refused(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(object_store, S3Store):
        pytest.skip("nothing is sent")
    monkeypatch.setattr("services.core.objects.part_requests.zlib.crc32", lambda *_: 1)
    with pytest.raises(Unavailable):
        await object_store.put_part("spoilt/one", [b"abc"])
    monkeypatch.undo()
    assert await object_store.stat("spoilt/one") is None


async def test_list(object_store: ObjectStore) -> None:
    for key in ("a/b/1", "a/b/2", "a/bc/3", "a/b2", "z"):
        await object_store.put(key, key.encode())
    assert [one.key async for one in object_store.list("a/b/")] == ["a/b/1", "a/b/2"]
    assert [one.key async for one in object_store.list("a/b")] == ["a/b/1", "a/b/2", "a/b2", "a/bc/3"]
    assert [one.key async for one in object_store.list("none/")] == []
    listed = [one async for one in object_store.list("z")]
    assert listed[0].size_bytes == 1
    assert listed[0].modified.tzinfo is not None


async def test_deleted_objects_are_gone_and_siblings_stay(object_store: ObjectStore) -> None:
    await object_store.put("a/b/1", b"1")
    await object_store.put("a/b/2", b"2")
    await object_store.delete("a/b/1")
    assert [one.key async for one in object_store.list("a/")] == ["a/b/2"]
    await object_store.delete("a/b/2")
    await object_store.put("a/b/3", b"3")
    assert await read(object_store, "a/b/3") == b"3"


async def test_a_stream_that_fails_leaves_nothing(object_store: ObjectStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(PART_BYTES)
        yield bytes(PART_BYTES)
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await object_store.put("data/broken", broken())
    assert await object_store.stat("data/broken") is None
    assert [one.key async for one in object_store.list("")] == []


@pytest.mark.parametrize("sent", [1, 3])
async def test_a_cancelled_put_leaves_nothing(object_store: ObjectStore, sent: int) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(sent):
            yield bytes(PART_BYTES)
        reached.set()
        await asyncio.sleep(3600)

    putting = asyncio.create_task(object_store.put("data/cancelled", endless()))
    await reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await object_store.stat("data/cancelled") is None


async def test_puts_at_the_same_time(object_store: ObjectStore) -> None:
    contents = [os.urandom(300_000) for _ in range(12)]
    await asyncio.gather(*(object_store.put(f"data/p{n}", pieces(c[:1], c[1:])) for n, c in enumerate(contents)))
    assert [await read(object_store, f"data/p{n}") for n in range(12)] == contents


async def test_urls(object_store: ObjectStore) -> None:
    await object_store.put("data/read", b"shared")
    assert await asyncio.to_thread(fetch, await object_store.read_url("data/read", 600)) == b"shared"
    await asyncio.to_thread(send, await object_store.write_url("data/written", 600), b"by a worker")
    assert await read(object_store, "data/written") == b"by a worker"


async def test_a_read_url_is_not_a_write_url(object_store: ObjectStore) -> None:
    await object_store.put("data/read", b"shared")
    url = await object_store.read_url("data/read", 600)
    if url.startswith("file:"):
        pytest.skip("files have no signatures")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        await asyncio.to_thread(send, url, b"forged")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", ".incoming/x", "a\0b", "a b", "é"])
async def test_keys_that_could_be_misread_are_refused(object_store: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        await object_store.put(key, b"")
    with pytest.raises(ValueError, match="not an object key"):
        await object_store.stat(key)
    with pytest.raises(ValueError, match="not an object key"):
        await object_store.read_url(key, 60)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content


def send(url: str, content: bytes) -> None:
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(content)
        beside.rename(path)
        return
    with urllib.request.urlopen(urllib.request.Request(url, data=content, method="PUT")) as response:
        response.read()


async def test_puts_and_deletes_of_neighbours_at_the_same_time(object_store: ObjectStore) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(10):
            await object_store.put(f"data/busy/{number}", b"x")
            await object_store.delete(f"data/busy/{number}")
            await object_store.put_part(f"data/busy/{number}", [b"x", b"y"])
            await object_store.delete(f"data/busy/{number}")

    await asyncio.gather(*(come_and_go(number) for number in range(6)))
    assert [one.key async for one in object_store.list("data/busy/")] == []
