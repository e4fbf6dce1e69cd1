"""Whatever Weights & Biases does, an agent tells it once and goes on. The child is real, its library made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from aift.training.v1 import training_pb2 as pb
from pydantic import SecretStr

from services.training_service.agent import wandb_mirror, wandb_run
from services.training_service.agent.wandb_mirror import WandbMirror
from services.training_service.settings import WandbSettings

SECRET = "0123456789abcdef" * 3
JOB = pb.TrainingJob(name="trainingJobs/a", spec={"base_model": "baseModels/tiny"})
LIBRARY = """
import os, pathlib, time
class errors:
    class CommError(Exception): pass
    class AuthenticationError(CommError): pass
class Settings:
    def __init__(self, **of): pass
here, offline = pathlib.Path(__file__).parent, os.environ.get("WANDB_MODE") == "offline"
class Run:
    url, offline, dir = None if offline else "https://wandb/run", True, "/nowhere/files"
    def define_metric(self, *names, **of): pass
    def log(self, values):
        with (here / ("offline" if offline else "online")).open("a") as file:
            print(values["train/step"], file=file)
    def finish(self, exit_code): pass
"""
AWAY = """
def init(**of):
    if offline or (here / "open").exists(): return Run()
    raise errors.CommError("timed out")
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
    monkeypatch.setattr(wandb_mirror, "_FIRST_PAUSE_S", 0.05)
    settings = WandbSettings(api_key=SecretStr(SECRET))
    return WandbMirror(settings, tmp_path / "wandb", tmp_path / "spool.jsonl", told.extend)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """`fake(script)` is the library that the child imports."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return lambda script: (tmp_path / "wandb.py").write_text(LIBRARY + script) and None


def metric(step: int = 1) -> pb.Metric:
    return pb.Metric(step=step, epoch=0.1, values={"loss": 1.0})


async def ends(mirror: WandbMirror) -> None:
    """Nothing is left, and more that is told hurts nobody."""
    await mirror.finish(failed=False)
    await mirror.end()
    assert children() == []
    mirror.metric(metric())


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if wandb_run.__name__ in child.cmdline()]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "def init(**of): raise RuntimeError('no network: ' + os.environ['WANDB_API_KEY'])",
            "RuntimeError: no network: …",
        ),
        ("def init(**of): os.kill(os.getpid(), 9)", "broke off (-9)"),
        ("raise ImportError('broken')", "ImportError: broken"),
        ("def init(**of): raise errors.AuthenticationError('wrong key')", "AuthenticationError: wrong key"),
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
    await ends(mirror)
    assert len(told) == 1
    assert told[0].startswith("Weights & Biases: WARNING") or told[0].startswith("WARNING Weights & Biases")
    assert SECRET not in told[0]


async def test_what_was_measured_while_nobody_answered_arrives_later(
    mirror: WandbMirror, told: Told, fake: Fake, tmp_path: Path
) -> None:
    fake(AWAY)
    await mirror.start(JOB)
    mirror.metric(metric(1))
    await told.until("not reached")
    mirror.metric(metric(2))
    (tmp_path / "open").touch()
    await told.until("https://wandb/run (after")
    mirror.metric(metric(3))
    await ends(mirror)
    assert (tmp_path / "online").read_text().split() == ["1", "2", "3"]
    assert len(told) == 2


async def test_what_never_arrives_is_left_for_later(
    mirror: WandbMirror, told: Told, fake: Fake, tmp_path: Path
) -> None:
    fake(AWAY)
    await mirror.start(JOB)
    for step in range(1, 4):
        mirror.metric(metric(step))
    await told.until("`wandb sync`")
    await ends(mirror)
    assert (tmp_path / "offline").read_text().split() == ["1", "2", "3"]
    assert len(told) == 1


@pytest.mark.parametrize("place", ["init", "log", "finish"])
async def test_a_library_that_hangs_is_given_up(
    mirror: WandbMirror, told: Told, fake: Fake, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(wandb_mirror, "_END_WITHIN_S", 0.5)
    hang = f"def {place}(*_, **of): time.sleep(600)\n"
    fake(hang if place == "init" else hang + f"Run.{place} = {place}\ndef init(**of): return Run()")
    await mirror.start(JOB)
    for _ in range(2000):
        mirror.metric(metric())
    if place != "init":
        await told.until("https://wandb/run")
    await ends(mirror)


async def test_a_full_disk_ends_the_mirror_and_nothing_else(told: Told, fake: Fake, tmp_path: Path) -> None:
    fake("def init(**of): return Run()")
    full = WandbMirror(WandbSettings(api_key=SecretStr(SECRET)), tmp_path, Path("/dev/full"), told.extend)
    await full.start(JOB)
    await ends(full)
    assert told == ["WARNING Weights & Biases: cannot be told: No space left on device"]


async def test_where_it_is_not_wanted_or_not_installed_nothing_runs(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_mirror, "find_spec", lambda name: None)
    for settings in (WandbSettings(), WandbSettings(api_key=SecretStr(SECRET), mode="disabled")):
        unwanted = WandbMirror(settings, tmp_path, tmp_path / "spool.jsonl", told.extend)
        await unwanted.start(JOB)
        await unwanted.finish(failed=False)
        assert told == []
    for settings in (WandbSettings(api_key=SecretStr(SECRET)), WandbSettings(mode="offline")):
        wanted = WandbMirror(settings, tmp_path, tmp_path / "spool.jsonl", told.extend)
        await wanted.start(JOB)
        wanted.metric(metric())
        await wanted.finish(failed=False)
        await wanted.end()
        assert [line for line in told if "pip install 'aift[wandb]'" in line] == told
        assert len(told) == 1
        told.clear()
