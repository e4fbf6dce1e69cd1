"""What happened to a job: its events, as far as this visit has read them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import streamlit as st
from aift.training.v1 import training_pb2

from frontend.session import signed_in_client

_KEPT_LINES = 20_000
# A look at the page never waits longer for old events; the next look goes on from there.
_READ_WITHIN_S = 1.5
_MARKS = ("state_changed", "checkpoint", "recovery", "stall")


@dataclass(kw_only=True)
class History:
    """The events that are shown one by one. Charts ask for the metrics of all steps by themselves, thinned."""

    read: int = 0
    """Sequence of the newest event that was read."""
    marks: list[training_pb2.TrainingEvent] = field(default_factory=list)
    """Changes of state, checkpoints, lost attempts and stalls, in order."""
    samples: list[training_pb2.Sample] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    """The newest lines of the log."""
    measured: dict[str, float] = field(default_factory=dict)
    """The newest value of each metric."""
    evaluated_step: int = 0
    """The newest step at which held-out rows were measured; 0 where only the base model was."""
    dropped_lines: int = 0
    """Lines that the log left out because there were too many."""

    def take(self, event: training_pb2.TrainingEvent) -> None:
        """One more event."""
        self.read = event.sequence
        kind = event.WhichOneof("content")
        if kind in _MARKS:
            self.marks.append(event)
        elif kind == "metric":
            self.measured.update(event.metric.values)
            if any(name.startswith("eval_") for name in event.metric.values):
                self.evaluated_step = event.metric.step
        elif kind == "sample":
            self.samples.append(event.sample)
        elif kind == "log":
            self.lines.extend(event.log.lines)
            self.dropped_lines += event.log.dropped_lines


def history_of(job: training_pb2.TrainingJob) -> History:
    """The job's history up to now, or as far as it can be read within a moment; only news are fetched."""
    history: History = st.session_state.setdefault(f"history {job.uid}", History())
    if history.read >= job.last_sequence:
        return history
    until = time.monotonic() + _READ_WITHIN_S
    for event in signed_in_client().training.watch(job.name, after_sequence=history.read):
        history.take(event)
        if event.sequence >= job.last_sequence or time.monotonic() > until:
            break
    return history
