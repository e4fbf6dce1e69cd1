"""What a worker gives an agent: over standard input, since arguments and environments can be read by others."""

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aift.training.v1 import worker_pb2

PULSE_S = 0.5
"""How often a living agent touches its pulse, in seconds."""

_STARTED = "agent.started"
_PULSE = "agent.pulse"


@dataclass(frozen=True, kw_only=True)
class Handover:
    """An attempt, the devices that it gets (see `devices`), and the folder that it works in."""

    assignment: worker_pb2.Assignment
    devices: tuple[str, ...]
    directory: Path

    @property
    def started(self) -> Path:
        """The file that the agent makes once it keeps the lease itself; until then its worker does."""
        return self.directory / _STARTED

    @property
    def pulse(self) -> Path:
        """The file that the agent touches while it moves."""
        return self.directory / _PULSE

    @property
    def output(self) -> Path:
        """The folder that the ranks write to."""
        return self.directory / "output"

    def encode(self) -> bytes:
        """One line."""
        content = {
            "assignment": base64.b64encode(self.assignment.SerializeToString()).decode(),
            "devices": self.devices,
            "directory": str(self.directory),
        }
        return json.dumps(content).encode() + b"\n"


async def show_pulse(given: Handover) -> None:
    """Shows the worker that this process moves, also while the service is away."""
    while True:
        given.pulse.touch()
        await asyncio.sleep(PULSE_S)


def read(stream: BinaryIO) -> Handover:
    """What the worker wrote. Raises ValueError where it is not whole."""
    content = json.loads(stream.readline())
    return Handover(
        assignment=worker_pb2.Assignment.FromString(base64.b64decode(content["assignment"])),
        devices=tuple(content["devices"]),
        directory=Path(content["directory"]),
    )
