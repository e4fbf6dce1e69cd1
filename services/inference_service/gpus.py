"""Which GPU an engine computes on: one that nobody trains on, held by its file lock for as long as the engine lives.

On a machine without GPUs engines share the processor with training: generating must stay possible while a job runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE

from services.core import devices
from services.inference_service.errors import GpusBusy

_LOG = logging.getLogger(__name__)
_WITHIN_S = 10.0
# A worker that looks which devices are free holds each for a moment.
_TRIES, _PAUSE_S = 5, 0.02
_RETRY_AFTER_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one engine computes. Its process inherits `locks`; `give_back` is to be called once, at its end."""

    gpu: int | None  # None: on the processor
    locks: Sequence[int]
    give_back: Callable[[], None]

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process is told, so that it sees this GPU alone, or none."""
        seen = "" if self.gpu is None else str(self.gpu)
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": seen}


@dataclass
class _Held:
    lock: int
    release: ExitStack
    engines: int = field(default=0)


class Gpus:
    """The GPUs of this machine that we may use. One that we have is shared by our engines when no other is free."""

    def __init__(self, locks: Path) -> None:
        self._locks = locks
        self._held: dict[int, _Held] = {}
        self._known: list[int] | None = None
        self._asking = asyncio.Lock()

    def is_wanted(self, gpu: int) -> bool:
        """Whether a training waits for a GPU: an idle engine gives it back, and no other takes it."""
        return devices.is_wanted(self._locks, devices.gpu(gpu))

    async def take(self) -> Place:
        """A place for an engine. Raises GpusBusy when there are GPUs but others have them all."""
        async with self._asking:
            if self._known is None:
                self._known = await _visible()
        if not self._known:
            return Place(gpu=None, locks=(), give_back=lambda: None)
        for _ in range(_TRIES):
            others = [gpu for gpu in self._known if gpu not in self._held and not self.is_wanted(gpu)]
            if any(map(self._hold, others)) or self._held:
                return self._place()
            await asyncio.sleep(_PAUSE_S)
        raise GpusBusy(retry_after_s=_RETRY_AFTER_S, gpus=", ".join(map(devices.gpu, self._known)))

    def _hold(self, gpu: int) -> bool:
        with ExitStack() as stack:
            try:
                (lock,) = stack.enter_context(devices.holding(self._locks, [devices.gpu(gpu)]))
            except devices.DevicesTaken:
                return False
            self._held[gpu] = _Held(lock, stack.pop_all())
        return True

    def _place(self) -> Place:
        """On the GPU that has the fewest engines of ours: the one just taken, if there was one."""
        gpu = min(self._held, key=lambda one: self._held[one].engines)
        held = self._held[gpu]
        held.engines += 1
        return Place(gpu=gpu, locks=(held.lock,), give_back=lambda: self._give_back(gpu))

    def _give_back(self, gpu: int) -> None:
        held = self._held[gpu]
        held.engines -= 1
        if not held.engines:
            del self._held[gpu]
            held.release.close()


async def _visible() -> list[int]:
    """The numbers of the NVIDIA GPUs, in nvidia-smi's order, that CUDA_VISIBLE_DEVICES leaves to us; maybe none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    argv = (program, "--query-gpu=index,uuid", "--format=csv,noheader")
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
    if process.returncode != 0:
        _LOG.warning("nvidia-smi does not answer: engines compute on the processor")
        return []
    return chosen(output.decode(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def chosen(listed: str, visible: str | None) -> list[int]:
    """The numbers in nvidia-smi's lines of "index, uuid" that CUDA_VISIBLE_DEVICES names by number or identifier."""
    known = [(index.strip(), uuid.strip()) for index, _, uuid in (line.partition(",") for line in listed.splitlines())]
    if visible is None:
        return [int(index) for index, _ in known]
    named = [name.strip() for name in visible.split(",") if name.strip()]
    return [int(index) for name in named for index, uuid in known if name == index or uuid.startswith(name)]
