"""After a supervisor that was killed: waiting for its processes to end by themselves, ending those that do not."""

import psutil

from services.embedded.errors import LeftoverProcesses
from services.embedded.runtime import Runtime

_BY_THEMSELVES_S = 15.0
_KILLED_S = 5.0


def end_leftovers(before: Runtime | None) -> list[str]:
    """Return when no process of an earlier run is left; the names of those that had to be killed.

    Raises LeftoverProcesses when the system would not end one (such as one in an uninterruptible read).
    """
    if before is None:
        return []
    there = {process: record.name for record in before.processes if (process := record.process())}
    _, alive = psutil.wait_procs(list(there), timeout=_BY_THEMSELVES_S)
    for process in alive:
        process.kill()
    _, immortal = psutil.wait_procs(alive, timeout=_KILLED_S)
    if immortal:
        raise LeftoverProcesses({there[process]: process.pid for process in immortal})
    return [there[process] for process in alive]
