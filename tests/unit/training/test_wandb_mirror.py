"""Whatever Weights & Biases does, an agent tells it once and goes on. The child is real, its library made up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from aift.training.v1 import training_pb2 as pb
from pydantic import SecretStr

from services.training_service.agent import wandb_mirror
from services.training_service.agent.wandb_mirror import WandbMirror
from services.training_service.settings import WandbSettings

SECRET = "0123456789abcdef" * 3
JOB = pb.TrainingJob(name="trainingJobs/a", spec={"base_model": "baseModels/tiny"})
LIBRARY = """
import os, time
class Settings:
    def __init__(self, **of): pass
class Run:
    url, offline, dir = "https://wandb/run", True, "/nowhere/files"
    def define_metric(self, *names, **of): pass
    def log(self, values): pass
    def finish(self, exit_code): pass
"""
Fake = Callable[[str], None]


class Told(list[str]):
    """The job's log."""

    async def until(self, words: str) -> None:
        async with asyncio.timeout(60):
            while not any(words in line for line in self):  # noqa: ASYNC110 - another process says them
                await asyncio.sleep(0.01)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def mirror(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> WandbMirror:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setattr(wandb_mirror, "_END_WITHIN_S", 0.5)
    return WandbMirror(WandbSettings(api_key=SecretStr(SECRET)), tmp_path / "wandb", told.extend)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """`fake(script)` is the library that the child imports."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return lambda script: (tmp_path / "wandb.py").write_text(LIBRARY + script) and None


def metric(size: int = 1) -> pb.Metric:
    return pb.Metric(step=1, epoch=0.1, values={f"value{number}": 1.0 for number in range(size)})


async def ends(mirror: WandbMirror, *, within_s: float) -> None:
    """Nothing is left and nothing is waited for."""
    began = time.monotonic()
    process = mirror._process
    await mirror.finish(failed=False)
    await mirror.end()
    assert time.monotonic() - began < within_s
    assert process is not None
    assert not psutil.pid_exists(process.pid)
    mirror.metric(metric())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "def init(**of): raise RuntimeError('no network: ' + os.environ['WANDB_API_KEY'])",
            "RuntimeError: no network: …",
        ),
        ("def init(**of): os.kill(os.getpid(), 9)", "broke off (-9)"),
        ("raise ImportError('broken')", "ImportError: broken"),
    ],
)
async def test_a_library_that_breaks_is_told_of_once(
    mirror: WandbMirror, told: Told, fake: Fake, script: str, words: str
) -> None:
    fake(script)
    await mirror.start(JOB)
    mirror.metric(metric())
    await told.until(words)
    mirror.metric(metric())
    await ends(mirror, within_s=30)
    assert len(told) == 1
    assert told[0].startswith("Weights & Biases: WARNING") or told[0].startswith("WARNING Weights & Biases")
    assert SECRET not in told[0]


async def test_a_library_that_hangs_is_given_up(mirror: WandbMirror, told: Told, fake: Fake) -> None:
    fake("def init(**of): time.sleep(600)")
    await mirror.start(JOB)
    for _ in range(100):
        mirror.metric(metric(2000))
    assert told == ["WARNING Weights & Biases: does not move; training goes on without it"]
    await ends(mirror, within_s=30)
    assert len(told) == 1


async def test_an_end_that_does_not_come_is_waited_for_only_so_long(
    mirror: WandbMirror, told: Told, fake: Fake
) -> None:
    fake("def finish(self, exit_code): time.sleep(600)\nRun.finish = finish\ndef init(**of): return Run()")
    await mirror.start(JOB)
    await told.until("https://wandb/run")
    await ends(mirror, within_s=30)


async def test_where_it_is_not_wanted_or_not_installed_nothing_runs(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_mirror, "find_spec", lambda name: None)
    for settings in (WandbSettings(), WandbSettings(api_key=SecretStr(SECRET), mode="disabled")):
        unwanted = WandbMirror(settings, tmp_path, told.extend)
        await unwanted.start(JOB)
        await unwanted.finish(failed=False)
        assert told == []
    for settings in (WandbSettings(api_key=SecretStr(SECRET)), WandbSettings(mode="offline")):
        wanted = WandbMirror(settings, tmp_path, told.extend)
        await wanted.start(JOB)
        wanted.metric(metric())
        await wanted.finish(failed=False)
        await wanted.end()
        assert [line for line in told if "pip install 'aift[wandb]'" in line] == told
        assert len(told) == 1
        told.clear()
