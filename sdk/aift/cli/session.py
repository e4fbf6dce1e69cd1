"""What holds for the whole run of the command: which system it speaks to."""

import os
from contextvars import ContextVar
from pathlib import Path

from aift.client import Client

_state_dir: ContextVar[Path | None] = ContextVar("state_dir", default=None)


def use_state_dir(path: Path | None) -> None:
    """Speaks to the embedded system of this state directory from now on."""
    _state_dir.set(path)
    if path is not None:
        os.environ["AIFT_STATE_DIR"] = str(path)


def client() -> Client:
    """A client of the system that was chosen."""
    return Client(state_dir=_state_dir.get())
