"""The registry beside the real data service: a model comes in through the client, and goes out again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from aift import Client

from services.core import lifeline, migrate
from services.embedded.postgres import Postgres
from tests.conftest import find_free_port
from tests.integration.registry import tiny_model
from tests.integration.registry.conftest import RegistryProcess


@pytest.fixture
def both(make_process: Callable[..., RegistryProcess], postgres: Postgres) -> Iterator[tuple[RegistryProcess, str]]:
    """A registry and the data service that it asks; the latter's address."""
    del postgres
    address = f"127.0.0.1:{find_free_port()}"
    registry = make_process(AIFT_DATA_ADDRESS=address)
    migrate.run("services.data_service", url=registry.database_url, schema="data")
    with (registry.folder / "data.log").open("wb") as log:
        data = lifeline.popen(
            [sys.executable, "-m", "services.data_service", "serve"],
            env={**registry.environment, "AIFT_LISTEN": address},
            stdout=log,
            stderr=log,
        )
    registry.start()
    _wait_for(registry.folder / "data.log", data)
    yield registry, address
    registry.stop()
    data.send_signal(signal.SIGTERM)
    data.wait(60)


def _wait_for(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(json.loads(line).get("message") == "ready" for line in log.read_text().splitlines() if line[:1] == "{"):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def written(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for path, data in files.items():
        (folder / path).write_bytes(data)
    return folder


def test_in_and_out_through_the_client(both: tuple[RegistryProcess, str], tmp_path: Path) -> None:
    registry, data_address = both
    base_files, adapter_files = tiny_model.llama(), tiny_model.adapter()
    base_folder = written({**base_files, "pytorch_model.bin": b"pickle"}, tmp_path / "tiny-ja")
    adapter_folder = written(adapter_files, tmp_path / "lora_demo_20260101_000000")
    addresses = {"data": data_address, "registry": f"127.0.0.1:{registry.port}"}
    with Client(token=registry.token("editor", "acme"), addresses=addresses) as client:
        seen: list[str] = []
        base = client.base_models.import_dir(base_folder, on_progress=lambda p: seen.append(p.stage))
        assert base.name == "baseModels/tiny-ja"
        assert base.digest == tiny_model.digest(base_files)
        assert "importing" in seen
        version = client.models.import_dir(adapter_folder, base_model="tiny-ja")
        assert version.name == "models/lora-demo-20260101-000000/versions/1"
        client.models.set_alias("lora-demo-20260101-000000", "production", 1)
        out = client.models.download("lora-demo-20260101-000000@production", tmp_path / "out")
        assert {path.name: path.read_bytes() for path in out.iterdir()} == adapter_files
        edges = client.models.lineage("lora-demo-20260101-000000").edges
        assert [(getattr(edge, "from"), edge.to) for edge in edges] == [(base.name, version.name)]


def test_both_in_one_database_keep_to_their_schemas(both: tuple[RegistryProcess, str]) -> None:
    registry, _ = both
    with psycopg.connect(registry.database_url) as connection:
        rows = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'blobs' ORDER BY 1").fetchall()
    assert rows == [("data",), ("registry",)]
