"""How an attempt's GPUs are used, for its metrics."""

import asyncio
from collections.abc import Sequence
from statistics import fmean

from aift.training.v1 import training_pb2 as pb

from services.training_service import nvidia_smi

_EVERY_S = 5.0


class GpuUsage:
    """Looks at the GPUs of these numbers every few seconds; without numbers there is nothing to look at."""

    def __init__(self, indices: Sequence[int]) -> None:
        self._indices = frozenset(indices)
        self._seen: list[pb.Gpu] = []
        self._figures: dict[str, float] = {}

    async def watch(self) -> None:
        """Looks until cancelled."""
        while self._indices:
            self._seen += [gpu for gpu in await nvidia_smi.gpus() if gpu.index in self._indices]
            await asyncio.sleep(_EVERY_S)

    def figures(self) -> dict[str, float]:
        """The mean share of time in use and the highest memory in use since the last call; the same again where nothing
        was seen since, so that every metric has them. Nothing before the first look."""
        if self._seen:
            self._figures = {
                "gpu_utilization": fmean(gpu.utilization for gpu in self._seen),
                "gpu_memory_used_bytes": float(max(gpu.memory_used_bytes for gpu in self._seen)),
            }
            self._seen = []
        return self._figures
