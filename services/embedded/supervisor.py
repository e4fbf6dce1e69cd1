"""Keeps a table of processes alive and stops them in order. Knows nothing of what they are."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from services.embedded.child import Child
from services.embedded.errors import StartFailed
from services.embedded.logfile import RotatedLog, tail
from services.embedded.spec import Backoff, ProcessSpec

_DEATHS_TOO_MANY = 3  # before a process was ever ready: more will not help
_TAIL_LINES = 15


class Supervisor:
    """Starts all processes at once; they wait for each other by themselves."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        logs: Path,
        changed: Callable[[], object] = lambda: None,
        report: Callable[[str, int, float], None] = lambda name, status, delay_s: None,
        backoff: Backoff | None = None,
    ) -> None:
        """`changed` is called whenever a child's public fields did; `report` at each death that is not a stop."""
        self.children = tuple(
            Child(
                spec,
                log=RotatedLog(logs / f"{spec.name}.log"),
                backoff=backoff or Backoff(),
                changed=changed,
                report=report,
            )
            for spec in specs
        )
        self._logs = logs
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start every process and keep it alive from now on."""
        for child in self.children:
            self._tasks[child.spec.name] = asyncio.create_task(child.keep(), name=child.spec.name)

    async def wait_ready(self, *, timeout_s: float, names: Sequence[str] | None = None) -> None:
        """Return when all (or the named) processes are ready.

        Raises StartFailed with the last lines of their logs when some are not ready in time, or die again and again.
        """
        waited = [child for child in self.children if names is None or child.spec.name in names]
        deadline = asyncio.get_running_loop().time() + timeout_s
        while unready := [child for child in waited if not child.ready]:
            self._raise_if_a_task_broke()
            hopeless = [child for child in unready if child.deaths >= _DEATHS_TOO_MANY and not child.ever_ready]
            if hopeless or asyncio.get_running_loop().time() > deadline:
                raise StartFailed({child.spec.name: self._last_lines(child) for child in hopeless or unready})
            await asyncio.sleep(0.02)

    async def wait_broken(self) -> None:
        """Return never, but raise what ended a supervising task, which must not happen."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
            self._raise_if_a_task_broke()

    async def stop(self) -> None:
        """Stop the highest stage, then the next, each process within its own bounded time."""
        stages: dict[int, list[Child]] = defaultdict(list)
        for child in self.children:
            stages[child.spec.stage].append(child)
        for stage in sorted(stages, reverse=True):
            started = [child for child in stages[stage] if child.spec.name in self._tasks]
            await asyncio.gather(*(child.stop(self._tasks[child.spec.name]) for child in started))

    def kill(self) -> None:
        """End all processes at once, for a person who does not want to wait."""
        for child in self.children:
            child.kill()

    def _raise_if_a_task_broke(self) -> None:
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    def _last_lines(self, child: Child) -> str:
        status = "" if child.last_status is None else f"exit status {child.last_status}\n"
        return status + "\n".join(tail(self._logs / f"{child.spec.name}.log", _TAIL_LINES))
