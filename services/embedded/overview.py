"""`status`: what runs, how well, and what it takes."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from services.embedded.errors import NotRunning
from services.embedded.language import padded, text, width
from services.embedded.layout import StateDir
from services.embedded.lock import SupervisorLock
from services.embedded.runtime import ProcessRecord, Runtime, find, uptime

_MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Line:
    """One process now."""

    name: str
    pid: int | None
    healthy: bool
    restarts: int
    memory_bytes: int  # with everything that the process started; shared pages by share where the system tells
    uptime_s: float
    ports: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The supervisor and its processes now."""

    pid: int
    state: str
    uptime_s: float
    seconds_to_healthy: float | None
    addresses: dict[str, str]
    processes: tuple[Line, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything is ready."""
        return self.state == "healthy" and all(line.healthy for line in self.processes)

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "healthy": self.healthy}

    def as_text(self) -> str:
        """A table for people."""
        head = (text("process", "プロセス"), "pid", text("state", "状態"), text("restarts", "再起動"), "MiB", "port")
        rows = [head, *(_cells(line) for line in self.processes)]
        widths = [max(width(row[column]) for row in rows) for column in range(len(head))]
        title = f"AIFT: {self.state}, pid {self.pid}, {self.uptime_s:.0f} s"
        lines = ("  ".join(map(padded, row, widths)).rstrip() for row in rows)
        return "\n".join([title, *lines])


def overview(state: StateDir) -> Overview:
    """Look now. Raises NotRunning."""
    pid = SupervisorLock(state.lock).holder()
    runtime = Runtime.read(state.runtime)
    if not pid:
        raise NotRunning(state.root)
    if runtime is None or runtime.pid != pid:
        return Overview(pid=pid, state="starting", uptime_s=0.0, seconds_to_healthy=None, addresses={}, processes=())
    return Overview(
        pid=pid,
        state=runtime.state,
        uptime_s=uptime(runtime),
        seconds_to_healthy=runtime.seconds_to_healthy,
        addresses=dict(runtime.addresses),
        processes=tuple(_line(record) for record in runtime.processes),
    )


def _line(record: ProcessRecord) -> Line:
    process = find(record.pid, record.created)
    return Line(
        name=record.name,
        pid=process.pid if process else None,
        healthy=record.ready and process is not None,
        restarts=record.restarts,
        memory_bytes=_memory(process) if process else 0,
        uptime_s=time.time() - record.created if process and record.created else 0.0,
        ports=dict(record.ports),
    )


def _memory(process: psutil.Process) -> int:
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += _share(member)
        except psutil.NoSuchProcess:
            continue
    return total


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):  # another user's process, or not Linux
        return int(process.memory_info().rss)


def _cells(line: Line) -> tuple[str, ...]:
    health = text("healthy", "正常") if line.healthy else text("not ready", "準備中")
    listens = " ".join(f"{name}:{port}" for name, port in line.ports.items())
    return line.name, str(line.pid or "-"), health, str(line.restarts), f"{line.memory_bytes / _MIB:.0f}", listens
