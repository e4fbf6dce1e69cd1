"""What one rank tells: events, TensorBoard, and Python's log lines as events."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.training_service.trainer import events


class Reporter:
    """Writes events, and shows them where somebody watches. Only rank 0 tells of progress and measurements; every rank of
    log lines and failures."""

    def __init__(self, output_dir: Path, rank: int = 0, show: Callable[[events.Event], None] | None = None) -> None:
        self.writer = events.EventWriter(output_dir / events.file_name(rank))
        self.leads = rank == 0
        self._show = show
        self._board: Any = None
        self._board_dir = output_dir / "tensorboard"
        self._last: tuple[events.Phase, float] | None = None
        self._handler = _LogHandler(self)

    def capture_logs(self) -> None:
        """Sends this package's log lines, and everyone's warnings, to the events."""
        logging.captureWarnings(True)
        warnings.simplefilter("ignore", FutureWarning)  # for the developers of the libraries, not for users
        root, own = logging.getLogger(), logging.getLogger("services")
        self._handler.setLevel(logging.INFO)
        root.addHandler(self._handler)
        root.setLevel(logging.WARNING)
        own.setLevel(logging.INFO)

    def progress(self, phase: events.Phase, fraction: float, **details: Any) -> None:
        """Tells where the training is; drops what comes within a second of the last of the same phase."""
        now = time.monotonic()
        soon = self._last is not None and self._last[0] == phase and now - self._last[1] < 1.0
        if not self.leads or (soon and fraction < 1):
            return
        self._last = (phase, now)
        self.write(events.Progress(phase=phase, fraction=min(1.0, max(0.0, fraction)), **details))

    def metric(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Tells what was measured; numbers that are not finite are left out."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if self.leads and finite:
            self.write(events.Metric(step=step, epoch=epoch, values=finite))
            self._scalars(step, finite)

    def tell(self, event: events.Event) -> None:
        """Writes an event of rank 0."""
        if self.leads:
            self.write(event)

    def write(self, event: events.Event) -> None:
        """Writes an event of any rank."""
        self.writer.write(event)
        if self._show is not None:
            self._show(event)

    def close(self) -> None:
        """Flushes everything to the disk."""
        logging.getLogger().removeHandler(self._handler)
        if self._board is not None:
            self._board.close()
        self.writer.close()

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._board is None:
            self._board = EventFileWriter(str(self._board_dir))
        scalars = [Summary.Value(tag=_tag(name), simple_value=value) for name, value in sorted(values.items())]
        self._board.add_event(Event(step=step, wall_time=time.time(), summary=Summary(value=scalars)))


def _tag(name: str) -> str:
    group, _, rest = name.partition("_")
    return f"{group}/{rest}" if group == "eval" and rest else f"train/{name}"


class _LogHandler(logging.Handler):
    """Python's log records as events."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self.format(record).splitlines()
            self._reporter.write(events.Log(level=_level(record.levelno), lines=lines))
        except (OSError, ValueError):
            self.handleError(record)


def _level(number: int) -> events.Level:
    names: dict[int, events.Level] = {40: "ERROR", 30: "WARNING", 20: "INFO"}
    return next((name for least, name in names.items() if number >= least), "DEBUG")
