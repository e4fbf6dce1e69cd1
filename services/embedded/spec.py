"""What the supervisor is told about a process: data only."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Ready = Callable[[], Awaitable[bool]]
MakeArgv = Callable[[], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process to keep alive."""

    name: str
    argv: Sequence[str] | MakeArgv  # a function prepares what the process needs, in a thread before each life
    env: Mapping[str, str]  # the whole environment of the process, not an addition
    cwd: str | None = None  # None: where the supervisor is
    ready: Ready | None = None  # asked again and again; None: ready as soon as it runs
    ports: Mapping[str, int] = field(default_factory=dict)  # for people: what listens where
    stage: int = 0  # higher stages are stopped first; within a stage all at once
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10.0  # from the stop signal to SIGKILL
    orphan_s: float = 0.0  # how long what the process leaves in its group may take to end by itself


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a process that died is started again."""

    first_s: float = 0.5
    limit_s: float = 30.0
    healthy_s: float = 60.0  # a life of at least this long while ready makes the next wait the first again

    def delay(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th death in a row (from 1)."""
        return min(self.limit_s, self.first_s * 2.0 ** min(failures - 1, 30))
