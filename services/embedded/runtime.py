"""What runs now, as a file that `status`, `down` and tests read."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from services.embedded.child import Child
from services.embedded.private_file import write_private

State = Literal["starting", "healthy", "unhealthy", "stopping"]


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """One process at the time of writing."""

    name: str
    pid: int | None
    created: float | None  # with the pid it names the process even after pids were reused; seconds since 1970
    ready: bool
    restarts: int
    last_status: int | None  # exit status of its last death
    ports: Mapping[str, int]

    def process(self) -> psutil.Process | None:
        """The process itself while it lives."""
        return find(self.pid, self.created)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The supervisor and its processes."""

    pid: int
    created: float | None
    state: State
    started: float  # seconds since 1970
    seconds_to_healthy: float | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)  # service or "page" -> host:port
    processes: tuple[ProcessRecord, ...] = ()

    def write(self, path: Path) -> None:
        """Replace the file."""
        write_private(path, json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Runtime | None":
        """What was written last; None when there is nothing, or nothing of this version's form."""
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            processes = tuple(ProcessRecord(**record) for record in content.pop("processes"))
            return cls(**content, processes=processes)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None


def record(child: Child) -> ProcessRecord:
    """The public side of a supervised process."""
    return ProcessRecord(
        name=child.spec.name,
        pid=child.pid,
        created=created(child.pid) if child.pid else None,
        ready=child.ready,
        restarts=child.restarts,
        last_status=child.last_status,
        ports=dict(child.spec.ports),
    )


def created(pid: int) -> float | None:
    """When a process began, seconds since 1970; None when it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def find(pid: int | None, created_at: float | None) -> psutil.Process | None:
    """The process with this pid, if it is the one that began then and still lives (a zombie does not)."""
    if pid is None or created_at is None:
        return None
    try:
        process = psutil.Process(pid)
        alive = abs(process.create_time() - created_at) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def uptime(runtime: Runtime) -> float:
    """Seconds since the supervisor began."""
    return max(0.0, time.time() - runtime.started)
