"""`down`: asks the supervisor to stop everything and waits until it has."""

import os
import signal
import time
from contextlib import suppress

from services.embedded.errors import NotRunning, StopTimedOut
from services.embedded.layout import StateDir
from services.embedded.lock import SupervisorLock
from services.embedded.runtime import created, find

# The stages one after the other: page, worker, services, PostgreSQL, each with its own bound.
STOP_WITHIN_S = 150.0


def stop(state: StateDir, *, within_s: float = STOP_WITHIN_S) -> int:
    """Return the pid of the supervisor that ended. Raises NotRunning, StopTimedOut."""
    pid = SupervisorLock(state.lock).holder()
    if not pid:
        raise NotRunning(state.root)
    began = created(pid)
    with suppress(ProcessLookupError):  # it went by itself just now
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while find(pid, began):
        if time.monotonic() > deadline:
            raise StopTimedOut(pid, within_s)
        time.sleep(0.05)
    return pid
