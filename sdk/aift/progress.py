"""How far long work is, as it is told to a callback."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["uploading", "validating", "importing", "downloading", "fetching", "preparing", "counting"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """done and total in bytes; total is 0 while unknown. `what` is the file or the resource that it is about.

    rows: rows seen so far, where work goes row by row.
    """

    stage: Stage
    what: str
    done: int
    total: int
    rows: int = 0


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Tells nobody."""
