"""Whether a download fits on the disks that it goes to, before it begins."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from services.registry_service.errors import InsufficientDisk


def check(needs: Mapping[Path, int], *, reserve_bytes: int) -> None:
    """Raises InsufficientDisk unless each folder's disk takes the bytes that go there and keeps the reserve free."""
    by_disk: defaultdict[int, int] = defaultdict(int)
    free: dict[int, int] = {}
    for folder, size_bytes in needs.items():
        folder.mkdir(parents=True, exist_ok=True)
        disk = folder.stat().st_dev
        by_disk[disk] += size_bytes
        free[disk] = shutil.disk_usage(folder).free
    for disk, size_bytes in by_disk.items():
        if size_bytes + reserve_bytes > free[disk]:
            raise InsufficientDisk(needed=human(size_bytes + reserve_bytes), free=human(free[disk]))


def human(size_bytes: int) -> str:
    """Bytes for people: "64.2 GiB"."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
