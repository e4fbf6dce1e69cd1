"""A whole running system, started as a user starts it, with the tiny model and a small data set in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aift import Client
from aift.registry.v1 import registry_pb2
from streamlit.testing.v1 import AppTest

from tests.conftest import short_dir

ROOT = Path(__file__).resolve().parents[2]
TRAINING_DATA = ROOT / "samples/data/sample_training_data.jsonl"
TINY = ROOT / "samples/models/tiny-ja"
# A short training that still changes what the model says.
SETTINGS: dict[str, object] = {"learning_rate": 2e-3, "max_steps": 30, "max_length": 160}


@dataclass(frozen=True)
class System:
    """A running system and where it keeps its state."""

    state: Path
    addresses: dict[str, str]

    def environment(self) -> dict[str, str]:
        """What a user's shell needs to talk to it."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{Path.home() / 'go/bin'}"
        return {**os.environ, "AIFT_STATE_DIR": str(self.state), "PATH": path, "AIFT_LANG": "en"}


def aift(*arguments: str | Path, state: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs the ``aift`` command as a user does."""
    program = Path(sys.executable).parent / "aift"
    return subprocess.run(
        [program, *arguments],
        env={**os.environ, "AIFT_STATE_DIR": str(state), "AIFT_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=ROOT,
        check=False,
    )


@contextmanager
def running_system() -> Iterator[System]:
    """Everything but a terminal: services, worker, page, with nothing in it."""
    state = short_dir()
    started = aift("up", "--detach", "--ports", "auto", state=state)
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield System(state, json.loads((state / "client.json").read_text()))
    finally:
        stopped = aift("down", state=state)
        shutil.rmtree(state, ignore_errors=True)
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """The system that most tests share."""
    with running_system() as running:
        yield running


@pytest.fixture(scope="session")
def client(system: System) -> Iterator[Client]:
    """The SDK on the running system."""
    with Client(state_dir=system.state) as opened:
        yield opened


@pytest.fixture(scope="session")
def base_model(client: Client) -> registry_pb2.BaseModel:
    """baseModels/tiny-ja, imported."""
    return client.base_models.import_dir(TINY)


@pytest.fixture(scope="session")
def tuned(client: Client, base_model: registry_pb2.BaseModel) -> registry_pb2.ModelVersion:
    """models/tuned/versions/1, trained for a few steps on the sample data."""
    data = client.datasets.upload(TRAINING_DATA, dataset="faq")
    spec = client.training.spec(
        base_model.name, data.name, SETTINGS, model="models/tuned", sample_prompts=["数量を教えてください。"]
    )
    job = client.training.wait(client.training.create(spec, job_id="first").name)
    return client.models.version(job.model_version)


Open = Callable[..., AppTest]


@pytest.fixture
def open_page(system: System, monkeypatch: pytest.MonkeyPatch) -> Open:
    """``open_page("data", job="…")`` runs a page with the query of its address."""
    monkeypatch.setenv("AIFT_STATE_DIR", str(system.state))
    for name in ("AIFT_TOKEN", "AIFT_TOKEN_FILE", "AIFT_DATA_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def run(page: str, **query: str | list[str]) -> AppTest:
        test = AppTest.from_file(str(ROOT / "frontend/script.py"), default_timeout=180)
        test.run()
        for name, value in query.items():
            test.query_params[name] = value
        if page != "dashboard":
            test.switch_page(f"screens/{page}.py")
        return healthy(test.run())

    return run


def healthy(test: AppTest) -> AppTest:
    assert not test.exception, [exception.value for exception in test.exception]
    assert not test.error, [error.value for error in test.error]
    return test


def button(test: AppTest, label: str) -> None:
    """Presses the button and runs the page."""
    healthy(next(b for b in test.button if b.label == label).click().run())
