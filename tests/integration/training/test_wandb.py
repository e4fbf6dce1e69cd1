"""A job's metrics in Weights & Biases, written by its own library without a network and read back by its own reader."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aift.training.v1 import training_pb2 as pb

from services.training_service.agent.wandb_mirror import WandbMirror
from services.training_service.settings import WandbSettings
from tests.integration.training.conftest import (
    Api,
    Connect,
    System,
    all_events,
    job_request,
    until_ready,
    wait_for,
)

SECRET = "0123456789abcdef" * 3
SETTINGS = {"WANDB_MODE": "offline", "WANDB_API_KEY": SECRET, "WANDB_PROJECT": "日本語"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def api(system: System, connect: Connect) -> Api:
    """An editor's stubs of the running service."""
    made = connect(system.address)
    await until_ready(made)
    return made


@dataclass
class Run:
    """What one attempt left for `wandb sync`."""

    id: str = ""
    name: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    exit_code: int | None = None


def runs(folder: Path) -> list[Run]:
    """All that lies in a folder, oldest first."""
    return [_read(path) for path in sorted(folder.glob("offline-run-*/run-*.wandb"), key=lambda p: p.stat().st_ctime)]


def _read(path: Path) -> Run:
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    store, found = DataStore(), Run()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = Record.FromString(data)
        if record.HasField("run"):
            found.id, found.name, found.project = record.run.run_id, record.run.display_name, record.run.project
            _update(found.config, record.run.config.update)
        elif record.HasField("config"):
            _update(found.config, record.config.update)
        elif record.HasField("history"):
            values: dict[str, Any] = {}
            _update(values, record.history.item)
            found.history.append(values)
        elif record.HasField("exit"):
            found.exit_code = record.exit.exit_code
    store.close()
    return found


def _update(values: dict[str, Any], items: Any) -> None:
    for item in items:
        values[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)


@pytest.mark.slow
async def test_a_job_is_a_run_and_a_resumed_one_goes_on_with_it(system: System, api: Api) -> None:
    request = job_request({"steps": 30, "step_s": 0.4, "resumed_step_s": 0.02, "save_every": 0})
    request.training_job.display_name = "請求の学習"
    name = (await api.training.CreateTrainingJob(request)).name
    async for event in api.training.WatchTrainingJob(pb.WatchTrainingJobRequest(name=name)):
        if event.metric.step >= 3:
            break
    await api.training.PauseTrainingJob(pb.PauseTrainingJobRequest(name=name))
    await wait_for(api, name, "PAUSED")
    await api.training.ResumeTrainingJob(pb.ResumeTrainingJobRequest(name=name))
    job = await wait_for(api, name, "SUCCEEDED")
    await system.nothing_left()
    saved = int(job.metrics["resumed_from"])
    first, second = runs(system.ground.state_dir / "wandb")
    for run in (first, second):
        assert (run.id, run.name, run.project) == (name.removeprefix("trainingJobs/"), "請求の学習", "日本語")
        assert (run.config["method"], run.config["lora_r"], run.config["seed"]) == ("lora", 16, 42)
        assert run.config["base_model"] == "baseModels/tiny"
        assert run.exit_code == 0
    assert [row["train/step"] for row in first.history] == list(range(1, saved + 1))
    assert [row["train/step"] for row in second.history] == list(range(saved + 1, 31))
    assert [row["train/loss"] for row in second.history] == [1 / step for step in range(saved + 1, 31)]


@pytest.mark.slow
async def test_a_server_that_never_answers_leaves_the_whole_run_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and never listens: whoever connects is refused
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for name, value in {"API_KEY": SECRET, "BASE_URL": url, "INIT_TIMEOUT": "2"}.items():
            monkeypatch.setenv(f"WANDB_{name}", value)
        told: list[str] = []
        mirror = WandbMirror(WandbSettings(), tmp_path / "wandb", tmp_path / "spool.jsonl", told.extend)
        await mirror.start(pb.TrainingJob(name="trainingJobs/a", spec={"base_model": "baseModels/tiny"}))
        for step in range(1, 4):
            mirror.metric(pb.Metric(step=step, epoch=1, values={"loss": 1 / step}))
        await _until(lambda: bool(told))
        await mirror.finish(failed=False)
        await mirror.end()
    assert len(told) == 1
    assert "`wandb sync`" in told[0]
    [run] = runs(tmp_path / "wandb")
    assert (run.id, run.exit_code) == ("a", 0)
    assert [row["train/loss"] for row in run.history] == [1, 1 / 2, 1 / 3]
    assert not list((tmp_path / "wandb").glob("run-*"))


async def test_keys_stay_where_they_are_needed(system: System, api: Api) -> None:
    gates = system.ground.state_dir / "gates"
    gates.mkdir()
    how = {"steps": 2, "gates": str(gates)}
    name = (await api.training.CreateTrainingJob(job_request(how))).name
    await _until((gates / "load.reached").exists)
    holders = {kind for kind in ("agent", "fake_trainer") for process in system.descendants(kind) if _knows(process)}
    for gate in ("load", "finish"):
        (gates / gate).touch()
    events = await all_events(api, name)
    # What the attempt wrote for itself is removed after it.
    await _until(lambda: not list((system.ground.state_dir / "worker" / "attempts").glob("*")))
    assert holders == {"agent"}
    assert not [line for event in events for line in event.log.lines if SECRET in line or "WANDB_API_KEY" in line]
    written = [path for path in system.ground.state_dir.rglob("*") if path.is_file() and path.parent != gates]
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110 - another process' doing
            await asyncio.sleep(0.05)


def _knows(process: psutil.Process) -> bool:
    return SECRET in process.environ().values()
