"""The processes of a node that train together: one for each GPU, or as many as asked for, in one process group."""

import asyncio
import fnmatch
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.core import lifeline
from services.training_service.agent.node import Node
from services.training_service.agent.tail import last_lines

# What a trainer needs of our environment. Nothing of AIFT's own, and nothing that could be a secret.
_PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_*", "DYLD_*"),
    *("CUDA_*", "NVIDIA_*", "NCCL_*", "GLOO_*", "TORCH_*", "PYTORCH_*", "TRITON_*", "XDG_CACHE_HOME"),
    *("OMP_*", "MKL_*", "OPENBLAS_*", "DS_*"),
)
# After one rank has failed: time for the others to say what they know.
_LAST_WORDS_S = 1.0
# After the first of them has ended well: time for the others to end too.
_STRAGGLERS_S = 30.0
_LAST_LOG_LINES = 50


class Ranks:
    """One run of the trainer. `start`, then `wait`; `kill` leaves nothing behind."""

    def __init__(self, processes: Mapping[int, asyncio.subprocess.Process], logs: Mapping[int, Path]) -> None:
        self._processes = processes
        self.logs = logs
        """By rank, what each writes to its standard streams."""
        self.first_failed: int | None = None
        """The rank that failed before we ended the others."""

    @classmethod
    async def start(
        cls,
        *,
        module: str,
        job_file: Path,
        output: Path,
        logs: Path,
        node: Node,
        gpus: Sequence[int],
        locks: Sequence[int],
    ) -> "Ranks":
        """Starts the node's ranks of `python -m module JOB.json OUTPUT_DIR`, which inherit the devices' locks.

        Raises OSError.
        """
        logs.mkdir(parents=True, exist_ok=True)
        shared = {
            **environment(),
            "WORLD_SIZE": str(node.world),
            "LOCAL_WORLD_SIZE": str(node.processes),
            "MASTER_ADDR": node.master_address,
            "MASTER_PORT": str(node.master_port or _free_port()),
            # nvidia-smi's numbers, which are those of the locks.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
            # Everything that it reads lies on this machine already.
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }
        argv = [sys.executable, "-m", module, str(job_file), str(output)]
        processes: dict[int, asyncio.subprocess.Process] = {}
        paths = {rank: logs / f"rank-{rank}.log" for rank in node.ranks}
        for local_rank, (rank, path) in enumerate(paths.items()):
            env = {**shared, "RANK": str(rank), "LOCAL_RANK": str(local_rank)}
            group = processes[node.ranks[0]].pid if processes else 0
            # A first rank that is gone already has no group to join; `wait` then tells why it went.
            with path.open("wb") as log, suppress(PermissionError, ProcessLookupError):
                processes[rank] = await lifeline.spawn(
                    argv, env=env, cwd=logs, stdout=log, stderr=log, process_group=group, pass_fds=locks
                )
        return cls(processes, paths)

    async def wait(self) -> dict[int, int]:
        """The exit statuses by rank, negative for signals. When one rank fails, the others are ended too."""
        waiting = {asyncio.create_task(process.wait()): rank for rank, process in self._processes.items()}
        try:
            await self._until_settled(waiting)
        finally:
            for task in waiting:
                task.cancel()
        return await self.end()

    async def end(self) -> dict[int, int]:
        """Kills whatever is left and returns the exit statuses."""
        self.kill()
        return {rank: await process.wait() for rank, process in self._processes.items()}

    def last_words(self, statuses: Mapping[int, int]) -> list[str]:
        """What failed ranks wrote to their standard streams: often the only trace of a crash."""
        failed = [self.logs[rank] for rank, status in statuses.items() if status != 0]
        return [f"{path.stem}: {line}" for path in failed for line in last_lines(path, _LAST_LOG_LINES)]

    async def _until_settled(self, waiting: Mapping["asyncio.Task[int]", int]) -> None:
        """Returns when all have ended, or soon after one has failed or the first of them has ended."""
        pending, timeout = set(waiting), None
        while pending:
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            failed = [waiting[task] for task in done if task.result() != 0]
            if failed:
                timeout = _LAST_WORDS_S
                self.first_failed = min(failed) if self.first_failed is None else self.first_failed
            elif timeout is None and self._first.returncode is not None:
                timeout = _STRAGGLERS_S

    def terminate(self) -> None:
        """Asks all ranks to save and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends whatever is left."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._processes:
            lifeline.signal_group(self._first.pid, number)

    @property
    def _first(self) -> asyncio.subprocess.Process:
        return next(iter(self._processes.values()))


def environment() -> dict[str, str]:
    """What ranks see of our environment."""
    passed_on = [name for name in os.environ if any(fnmatch.fnmatchcase(name, pattern) for pattern in _PASSED_ON)]
    return {name: os.environ[name] for name in passed_on}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
