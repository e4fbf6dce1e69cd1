"""How a data job's child process is told what to do, says how far it is, and ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeAlias

from services.core import lifeline
from services.core.disk import is_full

DISK_FULL = 74  # EX_IOERR of sysexits.h
"""The exit status of a child that found no room for what it writes."""


@dataclass(frozen=True)
class Progress:
    """One line of the child's standard output, about every half second."""

    done_bytes: int
    rows: int

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Progress:
        """The inverse of `to_json`."""
        return cls(**json.loads(line))


Tell: TypeAlias = Callable[[Progress], None]


def tell(progress: Progress) -> None:
    """Says how far we are."""
    sys.stdout.write(progress.to_json() + "\n")
    sys.stdout.flush()


def run(work: Callable[[str, Tell], None]) -> int:
    """The main function of a child: `work` gets the request, its only argument. Returns the exit status."""
    lifeline.attach()
    try:
        work(sys.argv[1], tell)
    except OSError as error:
        if is_full(error):
            return DISK_FULL
        raise
    return 0
