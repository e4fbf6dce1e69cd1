"""The control file."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.training_service.trainer import control
from services.training_service.trainer.control import Command, ControlFile


def test_without_a_file_it_goes_on(tmp_path: Path) -> None:
    assert ControlFile(tmp_path).read() is Command.GO_ON


def test_commands_that_end_the_training_stay(tmp_path: Path) -> None:
    file = ControlFile(tmp_path)
    control.send(tmp_path, "pause")
    assert [file.read(), file.read()] == [Command.PAUSE, Command.PAUSE]
    control.send(tmp_path, "stop")
    assert file.read() is Command.STOP
    control.clear(tmp_path)
    assert file.read() is Command.GO_ON


def test_each_checkpoint_command_counts_once(tmp_path: Path) -> None:
    file = ControlFile(tmp_path)
    control.send(tmp_path, "checkpoint")
    assert [file.read(), file.read()] == [Command.CHECKPOINT, Command.GO_ON]
    control.send(tmp_path, "checkpoint")
    assert [file.read(), file.read()] == [Command.CHECKPOINT, Command.GO_ON]


@pytest.mark.parametrize("content", ["", "[]", '{"command": "halt"}', '{"command": []}'])
def test_something_else_is_an_error(content: str, tmp_path: Path) -> None:
    (tmp_path / control.FILE_NAME).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="must hold"):
        ControlFile(tmp_path).read()
