"""Trainings whose disk fills up: the reason is told, by the exit code too; what was whole before stays whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from services.training_service.trainer import events
from services.training_service.trainer.__main__ import describe
from services.training_service.trainer.failures import DISK_FULL
from tests.integration.trainer.conftest import Finished, Trainer
from tests.small_disk import small_disk

pytestmark = pytest.mark.xdist_group("trainer")

# All weights of the model take 0.4 MB, with the optimizer's states 1.2.
_TWO_CHECKPOINTS_BYTES = 3 << 20
_NO_MODEL_BYTES = 256 << 10


@pytest.fixture
def output(trainer: Trainer, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The trainer's output folder, on a disk as small as the test says."""
    with small_disk(trainer.folder / "out", request.param) as disk:
        yield disk


def failed_for_want_of_room(run: Finished) -> None:
    last = run.lines[-1].event
    assert isinstance(last, events.Failed), run.stderr
    assert (run.code, last.failure, last.reason) == (DISK_FULL, "infrastructure", "DISK_FULL"), last.detail


@pytest.mark.parametrize("output", [_TWO_CHECKPOINTS_BYTES], indirect=True)
def test_no_checkpoint_is_half(trainer: Trainer, output: Path) -> None:
    run = trainer.run(trainer.job(hp_method="full", hp_max_steps=8, hp_save_steps=2), "out")
    failed_for_want_of_room(run)
    assert [saved.step for saved in run.of(events.Checkpoint)] == [2, 4]
    folders = sorted(output.glob("checkpoints/*"))
    assert [folder.name for folder in folders] == ["step-2", "step-4"]
    for folder in folders:
        assert load_file(folder / "trained.safetensors")
    assert len(run.losses) == 6


@pytest.mark.parametrize("output", [_NO_MODEL_BYTES], indirect=True)
def test_no_result_is_half(trainer: Trainer, output: Path) -> None:
    run = trainer.run(trainer.job(hp_method="full", hp_save_steps=0), "out")
    failed_for_want_of_room(run)
    assert len(run.losses) == 6
    assert not (output / "model").exists()


def test_a_line_that_does_not_fit_leaves_no_part_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 << 10) as disk:
        writer = events.EventWriter(disk / "events.jsonl")
        writer.write(events.Log(level="INFO", lines=["first"]))
        with pytest.raises(OSError, match="No space"):
            writer.write(events.Log(level="INFO", lines=["x" * (16 << 10)]))
        writer.write(events.Log(level="INFO", lines=["second"]))
        writer.close()
        told = list(events.read(disk / "events.jsonl"))
    assert [(line.seq, line.event) for line in told] == [
        (1, events.Log(level="INFO", lines=["first"])),
        (2, events.Log(level="INFO", lines=["second"])),
    ]


def test_libraries_that_hide_the_reason_are_understood() -> None:
    hidden = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    worded = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    wrapped = RuntimeError("cannot write")
    wrapped.__cause__ = OSError(28, "No space left on device")
    assert {describe(error).reason for error in (hidden, worded, wrapped)} == {"DISK_FULL"}
    assert describe(OSError(5, "Input/output error")).reason == "TRAINER_BROKE_OFF"
