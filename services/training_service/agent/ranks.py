"""The processes that train together: one for each GPU, or as many as asked for, all in one process group."""

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

# What a trainer needs of our environment. Nothing of AIFT's own, and nothing that could be a secret.
_PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_*", "DYLD_*"),
    *("CUDA_*", "NVIDIA_*", "NCCL_*", "GLOO_*", "TORCH_*", "PYTORCH_*", "TRITON_*", "XDG_CACHE_HOME"),
    *("OMP_*", "MKL_*", "OPENBLAS_*", "DS_*"),
)
# After one rank has failed: time for the others to say what they know.
_LAST_WORDS_S = 1.0
# After rank 0 has ended well: time for the others to end too.
_STRAGGLERS_S = 30.0


class Ranks:
    """One run of the trainer. `start`, then `wait`; `kill` leaves nothing behind."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process], logs: Sequence[Path]) -> None:
        self._processes = processes
        self.logs = logs
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
        count: int,
        gpus: Sequence[int],
        locks: Sequence[int],
    ) -> "Ranks":
        """Starts `count` ranks of `python -m module JOB.json OUTPUT_DIR`, which inherit the devices' locks.

        Raises OSError.
        """
        logs.mkdir(parents=True, exist_ok=True)
        shared = {
            **_environment(os.environ),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            # nvidia-smi's numbers, which are those of the locks.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
            # Everything that it reads lies on this machine already.
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
        }
        argv = [sys.executable, "-m", module, str(job_file), str(output)]
        processes: list[asyncio.subprocess.Process] = []
        paths = [logs / f"rank-{rank}.log" for rank in range(count)]
        for rank, path in enumerate(paths):
            env = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            group = processes[0].pid if processes else 0
            # A rank 0 that is gone already has no group to join; `wait` then tells why it went.
            with path.open("wb") as log, suppress(PermissionError, ProcessLookupError):
                rank_process = await lifeline.spawn(
                    argv, env=env, cwd=logs, stdout=log, stderr=log, process_group=group, pass_fds=locks
                )
                processes.append(rank_process)
        return cls(processes, paths)

    async def wait(self) -> list[int]:
        """The exit statuses, negative for signals. When one rank fails, the others are ended too."""
        waiting = {asyncio.create_task(process.wait()): rank for rank, process in enumerate(self._processes)}
        try:
            await self._until_settled(waiting)
        finally:
            for task in waiting:
                task.cancel()
        return await self.end()

    async def end(self) -> list[int]:
        """Kills whatever is left and returns the exit statuses."""
        self.kill()
        return [await process.wait() for process in self._processes]

    async def _until_settled(self, waiting: Mapping["asyncio.Task[int]", int]) -> None:
        """Returns when all have ended, or soon after one has failed or rank 0 has ended."""
        pending, timeout = set(waiting), None
        while pending:
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            failed = [waiting[task] for task in done if task.result() != 0]
            if failed:
                timeout = _LAST_WORDS_S
                self.first_failed = min(failed) if self.first_failed is None else self.first_failed
            elif timeout is None and self._processes[0].returncode is not None:
                timeout = _STRAGGLERS_S

    def terminate(self) -> None:
        """Asks all ranks to save and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends whatever is left."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._processes:
            lifeline.signal_group(self._processes[0].pid, number)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in ours.items() if any(fnmatch.fnmatchcase(name, pattern) for pattern in _PASSED_ON)
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
