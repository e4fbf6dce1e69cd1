"""A whole system for the time of a measurement, started as a user starts it, with tiny-ja and the sample rows in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from aift import Client

from services.core.channels import channel
from services.core.devices import CPU, holding
from services.embedded.layout import StateDir
from services.embedded.postgres import Postgres
from services.embedded.runtime import Runtime

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "samples" / "data" / "sample_training_data.jsonl"
TINY = ROOT / "samples" / "models" / "tiny-ja"


@dataclass(frozen=True, kw_only=True)
class Running:
    """Where it is."""

    state: StateDir
    client: Client
    dataset_version: str
    training_address: str

    def connect(self, token_file: Path) -> grpc.aio.Channel:
        """A channel to the training service."""
        return channel(self.training_address, token_file)

    @property
    def user(self) -> Path:
        """The local user's token."""
        return self.state.token

    @property
    def worker(self) -> Path:
        """The token of workers."""
        return self.state.identities / "worker.token"

    def database_url(self) -> str:
        """The superuser's."""
        return Postgres(self.state.postgres).url()

    def pid(self, name: str) -> int:
        """The process id of a service."""
        runtime = Runtime.read(self.state.root / "runtime.json")
        found = [record.pid for record in runtime.processes if record.name == name] if runtime else []
        if not found or found[0] is None:
            raise SystemExit(f"{name} does not run")
        return found[0]


@contextmanager
def running_system(*, worker: bool = True, **settings: str) -> Iterator[Running]:
    """The system with `settings` in its environment; everything of it is gone afterwards. Without `worker`, its own
    finds its device taken and runs nothing."""
    root = Path(tempfile.mkdtemp(prefix="aift-benchmark-"))
    root.chmod(0o711)
    # So that the system goes too when a time limit ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    environment = {**os.environ, "AIFT_STATE_DIR": str(root), "AIFT_LANG": "en", **settings}
    taken = holding(root / "locks", [] if worker else [CPU])
    try:
        with taken:
            yield from _running(root, environment)
    finally:
        _aift(environment, "down")
        shutil.rmtree(root, ignore_errors=True)


def _running(root: Path, environment: dict[str, str]) -> Iterator[Running]:
    _aift(environment, "up", "--detach", "--no-page", "--ports", "auto")
    with Client(state_dir=root, patience_s=60) as client:
        client.base_models.import_dir(TINY)
        yield Running(
            state=StateDir(root),
            client=client,
            dataset_version=client.datasets.upload(ROWS, dataset="rows").name,
            training_address=str(json.loads((root / "client.json").read_text())["training"]),
        )


def _aift(environment: dict[str, str], *arguments: str) -> None:
    program = Path(sys.executable).parent / "aift"
    subprocess.run([program, *arguments], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
