"""The processes that train together, and what they agree on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


@dataclass
class Ranks:
    """This process among those of the training. Rank 0 reports, decides and writes the shared files."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1
    local_world: int = 1
    _group: Any = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> Ranks:
        """As the launcher set RANK, LOCAL_RANK, WORLD_SIZE and LOCAL_WORLD_SIZE; alone without."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        return cls(
            rank=int(os.environ.get("RANK", "0")),
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            world=world,
            local_world=int(os.environ.get("LOCAL_WORLD_SIZE", str(world))),
        )

    def join(self, *, even_alone: bool = False) -> None:
        """Meets the others. What is agreed on goes over gloo, so that it never waits for a GPU. `even_alone` makes a
        group of one, which DeepSpeed needs."""
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if self.world == 1 and even_alone:
            os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
            store = dist.HashStore()  # type: ignore[attr-defined]  # torch leaves it out of its stubs
            dist.init_process_group(backend, store=store, rank=0, world_size=1)
            return
        if self.world == 1:
            for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
                os.environ.pop(name, None)  # else accelerate would synchronise a lone rank with itself
            return
        # Rank 0 alone generates samples and writes files meanwhile; the others wait that long.
        dist.init_process_group(backend, timeout=timedelta(hours=1))
        self._group = dist.new_group(backend="gloo", timeout=timedelta(hours=1))

    def leave(self) -> None:
        """Takes leave of the others."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def highest(self, value: int) -> int:
        """The highest of all ranks' values."""
        if self.world == 1:
            return value
        box = torch.tensor([value], dtype=torch.int64)
        dist.all_reduce(box, dist.ReduceOp.MAX, group=self._group)
        return int(box.item())

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sums over all ranks, element by element."""
        if self.world == 1:
            return list(values)
        box = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(box, dist.ReduceOp.SUM, group=self._group)
        return [float(value) for value in box]

    def wait(self) -> None:
        """Returns once all are here."""
        self.highest(0)
