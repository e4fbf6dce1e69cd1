"""A whole system that is hurt on purpose; leases are short so that losses are noticed quickly."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from aift import Client
from aift.training.v1 import training_pb2

from services.embedded.runtime import Runtime
from tests.conftest import short_dir
from tests.e2e.conftest import TINY, TRAINING_DATA, aift

_AGENT = ("services.training_service", "agent")
_TRAINER = ("services.training_service.trainer",)


@dataclass(frozen=True)
class Victim:
    """A running system, its client, and ways to find its processes."""

    state: Path
    client: Client
    dataset_version: str

    def pid_of(self, name: str) -> int:
        """The process that is to be killed: a name of the supervisor's table, "agent" or "rank"."""
        if name == "agent":
            return self._by_words(_AGENT)[0].pid
        if name == "rank":
            return self._by_words(_TRAINER)[0].pid
        runtime = Runtime.read(self.state / "runtime.json")
        assert runtime is not None
        pid = next(record.pid for record in runtime.processes if record.name == name)
        assert pid is not None
        return _server_of(pid) if name == "postgres" else pid

    def supervisor(self) -> int:
        """The supervisor's pid."""
        runtime = Runtime.read(self.state / "runtime.json")
        assert runtime is not None
        return runtime.pid

    def processes(self) -> list[psutil.Process]:
        """Everything that belongs to this system, whoever its parent is now."""
        return [process for process in psutil.process_iter() if _belongs(process, self.state)]

    def _by_words(self, words: tuple[str, ...]) -> list[psutil.Process]:
        found = [p for p in self.processes() if set(words) <= set(_cmdline(p))]
        assert found, f"no process {words}"
        return found

    def start_job(self, name: str, *, processes: int = 1, **settings: object) -> training_pb2.TrainingJob:
        """A training that lasts long enough to be hurt in its middle, with checkpoints on the way."""
        chosen = {"learning_rate": 2e-3, "max_steps": 60, "save_steps": 8, "max_length": 160, "eval_split": 0.01}
        spec = self.client.training.spec(
            "tiny-ja", self.dataset_version, chosen | settings, model=f"models/{name}", processes=processes
        )
        return self.client.training.create(spec, job_id=name)


def _server_of(guard: int) -> int:
    """The postmaster below its guard."""
    for child in psutil.Process(guard).children(recursive=True):
        if child.name() == "postgres":
            return child.pid
    return guard


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _belongs(process: psutil.Process, state: Path) -> bool:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        named = any(str(state) in word for word in process.cmdline())
        return named or process.environ().get("AIFT_STATE_DIR") == str(state) or process.cwd().startswith(str(state))
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    """The system, with base model and data; stopped at the end, leaving no process."""
    state = short_dir()
    before = {name: os.environ.get(name) for name in ("AIFT_LEASE_SECONDS", "AIFT_RETRY_DELAY_SECONDS")}
    os.environ |= {"AIFT_LEASE_SECONDS": "3", "AIFT_RETRY_DELAY_SECONDS": "0.2"}
    try:
        started = aift("up", "--detach", "--no-page", "--ports", "auto", state=state, timeout_s=300)
        assert started.returncode == 0, started.stdout + started.stderr
        assert json.loads((state / "client.json").read_text())["training"]
        with Client(state_dir=state, patience_s=60) as client:
            client.base_models.import_dir(TINY)
            version = client.datasets.upload(TRAINING_DATA, dataset="faq")
            yield Victim(state, client, version.name)
    finally:
        aift("down", state=state)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
        shutil.rmtree(state, ignore_errors=True)
