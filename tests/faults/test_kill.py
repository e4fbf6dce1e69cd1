"""kill -9 in the middle of a training: the job still ends exactly once, with one model version, and nothing is left."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from aift.training.v1 import training_pb2

from tests.faults.conftest import Victim

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults"), pytest.mark.timeout(600)]

_AFTER_STEP = 12
_PATIENCE_S = 30


def until_step(victim: Victim, name: str, step: int) -> None:
    """Waits until the job has logged the step."""
    for event in victim.client.training.watch(name):
        if event.metric.step >= step:
            return
    pytest.fail("the job ended before it could be hurt")


def check_end(victim: Victim, name: str) -> list[training_pb2.TrainingEvent]:
    """One end, one version, and a gapless story."""
    job = victim.client.training.wait(name)
    assert job.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED
    assert [v.name for v in victim.client.models.versions(f"models/{name}")] == [job.model_version]
    events = list(victim.client.training.watch(name))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    ends = [event for event in events if event.state_changed.model_version]
    assert len(ends) == 1
    steps = [metric.step for metric in victim.client.training.metrics(name) if "loss" in metric.values]
    assert steps == list(range(1, 61))
    return events


@pytest.mark.parametrize("target", ["data", "training", "registry", "inference"])
def test_whichever_service_dies_the_job_ends_once(victim: Victim, target: str) -> None:
    name = f"kill-{target}"
    victim.start_job(name)
    until_step(victim, name, _AFTER_STEP)
    os.kill(victim.pid_of(target), signal.SIGKILL)
    events = check_end(victim, name)
    lost = [event for event in events if event.HasField("recovery")]
    if target != "training":
        assert not lost, "a service that the trainer does not need costs no attempt"


def test_two_ranks_share_a_job_die_together_and_go_on_from_a_checkpoint(victim: Victim) -> None:
    name = "two-ranks"
    victim.start_job(name, processes=2)
    until_step(victim, name, _AFTER_STEP)
    os.kill(victim.pid_of("rank"), signal.SIGKILL)
    events = check_end(victim, name)
    lost = [event for event in events if event.HasField("recovery")]
    assert lost
    assert lost[0].recovery.from_step >= 8
    assert victim.client.training.get(name).attempt == 1 + len(lost)


def test_zz_without_its_supervisor_nothing_goes_on(victim: Victim) -> None:
    """Last in the file: it ends the system."""
    victim.start_job("orphan", max_steps=100_000)
    until_step(victim, "orphan", 2)
    os.kill(victim.supervisor(), signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE_S
    while (left := victim.processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [_told(process) for process in left] == []


def _told(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid} ended meanwhile"
