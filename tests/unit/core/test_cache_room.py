"""Room in caches: what nobody uses goes, the oldest first; users and removers are processes of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from services.core.cache_room import Bounds, CacheRoom
from services.core.file_cache import FileCache, RemoteFile

SIZE = 64 << 10
NO_BOUNDS = Bounds(max_bytes=0, free_bytes=0)
Filled = Callable[[str, int], Path]

PROGRAM = """
import asyncio, hashlib, os, sys
from pathlib import Path
from services.core.cache_room import Bounds, CacheRoom
from services.core.file_cache import FileCache, RemoteFile

def link(source, target):
    raise OSError("as between two disks: what is fetched takes room")

os.link = link
root, source, SIZE = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
content = source.read_bytes()
file = RemoteFile(
    path="weights", size_bytes=SIZE, sha256=hashlib.sha256(content).hexdigest(), url=source.as_uri()
)
"""


def program(script: str, *arguments: object) -> subprocess.Popen[str]:
    text = PROGRAM + textwrap.dedent(script)
    argv = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def filled(root: Path) -> Filled:
    """`filled(digest, day)` is a folder that was used last on that day of 1970, by nobody now."""

    def fill(digest: str, day: int) -> Path:
        folder = root / digest
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(os.urandom(SIZE))
        (root / f".{digest}.lock").touch()
        os.utime(folder, (day * 86400, day * 86400))
        return folder

    return fill


def there(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def test_the_least_recently_used_goes_first_and_no_more_than_must(root: Path, filled: Filled) -> None:
    for digest, day in (("b", 2), ("c", 3), ("a", 1)):
        filled(digest, day)
    room = CacheRoom([root], Bounds(max_bytes=3 * SIZE, free_bytes=0))
    room.make(0)
    assert there(root) == ["a", "b", "c"]
    room.make(SIZE + 1)
    assert there(root) == ["c"]
    CacheRoom([root], NO_BOUNDS).make(0)
    assert there(root) == ["c"]


def test_the_disk_keeps_what_shall_be_free(root: Path, filled: Filled) -> None:
    filled("a", 1), filled("b", 2)
    room = CacheRoom([root], Bounds(max_bytes=0, free_bytes=shutil.disk_usage(root).total))
    room.make(0)
    assert there(root) == []


def test_what_takes_no_room_stays_and_what_was_left_unfinished_goes(root: Path, source: Path, filled: Filled) -> None:
    linked = filled("a", 1)
    (linked / "weights").unlink()
    os.link(source, linked / "weights")
    filled("b", 2).rename(root / ".partial-b")
    room = CacheRoom([root], Bounds(max_bytes=1, free_bytes=0))
    room.make(0)
    assert there(root) == ["a"]


async def test_what_a_living_process_uses_stays(root: Path, source: Path, filled: Filled) -> None:
    filled("a", 1), filled("b", 2)
    holder = program(
        """
        cache = FileCache(root)
        asyncio.run(cache.fetch("a", [file]))
        print("ready", flush=True)
        sys.stdin.read()
        """,
        root,
        source,
        SIZE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        room = CacheRoom([root], Bounds(max_bytes=1, free_bytes=0))
        room.make(0)
        assert there(root) == ["a"]
        holder.kill()
    room.make(0)
    assert there(root) == []


async def test_a_released_folder_counts_as_used_then(root: Path, filled: Filled) -> None:
    filled("a", 1), filled("b", 2)
    cache = FileCache(root)
    assert cache.use("a")
    assert not cache.use("c")
    room = CacheRoom([root], Bounds(max_bytes=SIZE, free_bytes=0))
    cache.release("a")
    room.make(0)
    assert there(root) == ["a"], "b was used longer ago"
    assert cache.use("a")
    room.make(SIZE)
    assert there(root) == ["a"]
    del cache
    room.make(SIZE)
    assert there(root) == []


def test_processes_that_fetch_and_remove_at_once_never_miss_a_file(root: Path, source: Path) -> None:
    """Each finds what it fetched whole for as long as it uses it, while all remove what is not in use."""
    script = """
        async def main():
            cache, room = FileCache(root), CacheRoom([root], Bounds(max_bytes=1, free_bytes=0))
            removed = 0
            for turn in range(100):
                digest = "abc"[turn % 3]
                removed += not (root / digest).is_dir()
                room.make(SIZE)
                folder = await cache.fetch(digest, [file])
                for look in range(5):
                    assert (folder / "weights").read_bytes() == content
                    await asyncio.sleep(0.001)
                cache.release(digest)
            print(removed)
        asyncio.run(main())
        """
    running = [program(script, root, source, SIZE) for _ in range(2)]
    for process in running:
        output, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, complaints
        assert int(output) > 1, "others had removed it meanwhile"


def test_missing_bytes_are_what_a_fetch_would_take(root: Path, source: Path) -> None:
    cache = FileCache(root)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    linked = RemoteFile(path="a", size_bytes=SIZE, sha256=sha256, url=source.as_uri())
    loaded = RemoteFile(path="b", size_bytes=SIZE, sha256=sha256, url="http://127.0.0.1:1/b")
    assert cache.missing_bytes("d", [linked]) == 0
    assert cache.missing_bytes("d", [linked, loaded]) == SIZE
    (root / ".partial-d").mkdir(parents=True)
    (root / ".partial-d" / "b").write_bytes(bytes(1000))
    assert cache.missing_bytes("d", [linked, loaded]) == SIZE - 1000
