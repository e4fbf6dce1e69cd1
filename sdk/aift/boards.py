"""TensorBoard files of training jobs, written on this machine from the events that the service keeps.

Every measurement of a job is in its events, so that the files show jobs of all machines, live.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc

from aift.client import Client
from aift.errors import AiftError
from aift.measurements import chart_name
from aift.training.v1 import training_pb2

_LOOK_EVERY_S = 5.0
_INSTALL = 'pip install "aift[train]"'


class Boards:
    """One folder a job below `folder`, each followed by a thread until the job has ended or `close` is called."""

    def __init__(self, client: Client, folder: Path, *, most_jobs: int) -> None:
        if find_spec("tensorboard") is None:
            raise _not_installed()
        self._client = client
        self._folder = folder
        self._most_jobs = most_jobs
        self._followed: dict[str, threading.Thread] = {}
        self._closing = threading.Event()

    def look(self) -> int:
        """Begins to follow jobs that are new; how many are followed in all."""
        for number, job in enumerate(self._client.training.list()):
            if number == self._most_jobs:
                break
            if job.name not in self._followed:
                thread = threading.Thread(target=self._follow, args=(job.name,), name=job.name, daemon=True)
                self._followed[job.name] = thread
                thread.start()
        return len(self._followed)

    def keep_looking(self) -> None:
        """Looks for new jobs again and again until `close`."""
        while not self._closing.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except AiftError:  # the system is away for a moment; what is followed goes on by itself
                continue

    def finish(self) -> None:
        """Waits until all jobs that are followed have ended."""
        for thread in self._followed.values():
            thread.join()

    def close(self) -> None:
        """Follows no more."""
        self._closing.set()

    def _follow(self, job: str) -> None:
        board: Any = None
        try:
            for event in self._client.training.watch(job):
                if self._closing.is_set():
                    return
                if event.HasField("metric"):
                    board = board or _open(self._folder / job.removeprefix("trainingJobs/"))
                    board.add_event(_scalars(event))
        finally:
            if board is not None:
                board.close()


def _open(folder: Path) -> Any:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    return EventFileWriter(str(folder), flush_secs=2)


def _scalars(event: training_pb2.TrainingEvent) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    metric = event.metric
    values = [Summary.Value(tag=chart_name(name), simple_value=value) for name, value in sorted(metric.values.items())]
    time_s = event.time.ToNanoseconds() / 1e9
    return Event(step=metric.step, wall_time=time_s, summary=Summary(value=values))


def _not_installed() -> AiftError:
    return AiftError(
        "NOT_INSTALLED",
        grpc.StatusCode.FAILED_PRECONDITION,
        f"TensorBoard is not installed here. Install it with: {_INSTALL}",
        f"TensorBoard がインストールされていません。次のコマンドで入れてください: {_INSTALL}",
    )
