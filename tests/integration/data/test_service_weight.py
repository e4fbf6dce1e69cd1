"""What the API process weighs after work of every kind, and what it never loads."""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from aift.data.v1 import data_pb2 as pb

from tests.integration.data.conftest import MIB, DataService, User, qa

LIMIT_MIB = 150


async def test_a_light_process(make_service: Callable[..., DataService]) -> None:
    service = make_service()
    service.start()
    async with User(service, "acme") as user:
        version = (await user.validate(qa(2000), dataset=(await user.dataset("one")).name)).dataset_version
        await user.upload(os.urandom(48 * MIB))
        for offset in range(0, 2000, 100):
            await user.stub.PreviewRows(pb.PreviewRowsRequest(name=version, offset=offset, limit=100))
        for _ in range(50):
            request = pb.GetDatasetRequest(name="datasets/one")
            await asyncio.gather(*(user.stub.GetDataset(request) for _ in range(20)))
    assert service.process is not None
    process = Path("/proc", str(service.process.pid))
    maps = (process / "maps").read_text()
    assert not re.findall(r"libtorch|libarrow|pandas", maps)
    rollup = (process / "smaps_rollup").read_text()
    (pss,) = re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert int(pss) / 1024 < LIMIT_MIB


def test_probes(directory_service: DataService) -> None:
    base = f"http://127.0.0.1:{directory_service.http_port}"
    deadline = time.monotonic() + 30
    while not _ready(base):  # it listens before its dependencies have answered
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for path in ("livez", "metrics"):
        with urllib.request.urlopen(f"{base}/{path}", timeout=5) as answer:
            assert answer.status == 200


def _ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=5):
            return True
    except urllib.error.HTTPError:
        return False
