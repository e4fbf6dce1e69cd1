"""How the trainer is told to stop: OUTPUT_DIR/control.json, read at each optimizer step. Standard library only.

The file holds {"command": "checkpoint" | "pause" | "stop"} and is replaced by a rename, so that it is never read half.

    checkpoint   write one and go on; once for each time that the file is written
    pause        write one and end: `finished` with outcome "paused"
    stop         end without one: `finished` with outcome "stopped"

SIGTERM writes a checkpoint and ends with outcome "interrupted"; a second SIGTERM ends the process at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Literal

CommandName = Literal["checkpoint", "pause", "stop"]
FILE_NAME = "control.json"


class Command(IntEnum):
    """What to do after this step. Ordered: where ranks heard different things, the highest is done by all."""

    GO_ON = 0
    CHECKPOINT = 1
    INTERRUPT = 2
    PAUSE = 3
    STOP = 4


_NAMES: dict[str, Command] = {"checkpoint": Command.CHECKPOINT, "pause": Command.PAUSE, "stop": Command.STOP}


def send(output_dir: Path, command: CommandName) -> None:
    """Tells the trainer of this output directory what to do."""
    descriptor, name = tempfile.mkstemp(dir=output_dir, prefix=".control-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"command": command}, file)
    Path(name).replace(output_dir / FILE_NAME)


def clear(output_dir: Path) -> None:
    """Takes a command back, so that a resumed trainer does not obey an old one."""
    (output_dir / FILE_NAME).unlink(missing_ok=True)


class ControlFile:
    """The trainer's side of control.json. Costs one stat a step while nothing changes."""

    def __init__(self, output_dir: Path) -> None:
        self._path = output_dir / FILE_NAME
        self._seen: tuple[int, int] | None = None

    def read(self) -> Command:
        """The command that waits. Raises ValueError where the file holds something else."""
        try:
            status = self._path.stat()
            content = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Command.GO_ON
        command = _parse(content)
        version = (status.st_ino, status.st_mtime_ns)
        if command is Command.CHECKPOINT and version == self._seen:
            return Command.GO_ON
        self._seen = version
        return command


def _parse(content: str) -> Command:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return _NAMES[json.loads(content)["command"]]
    raise ValueError(f'{FILE_NAME} must hold {{"command": one of {", ".join(_NAMES)}}}, not {content[:100]!r}')


class TerminationFlag:
    """Remembers SIGTERM until the step ends."""

    def __init__(self) -> None:
        self.raised = False

    def install(self) -> None:
        """Takes over SIGTERM; call from the main thread."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.raised:
            os._exit(128 + number)
        self.raised = True
