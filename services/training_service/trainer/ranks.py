"""The processes that train together, and what they agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

_PIECE_BYTES = 16 << 20


@dataclass
class Ranks:
    """This process among those of the training, numbered node by node, as many on each. Rank 0 reports, decides and
    writes the shared files."""

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

    @property
    def first_here(self) -> bool:
        """Whether this is the first rank of its node, which writes what each node keeps on its disk."""
        return self.local_rank == 0

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
        """Takes leave of the others. Not after a failure: that must be told before they lose this rank and fail too."""
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

    def collect(self, file_of: Callable[[int], Path]) -> None:
        """Brings a file of each rank of the other nodes to rank 0's disk, a piece at a time; every rank calls it.
        `file_of` names a rank's file, on its own disk and then on rank 0's."""
        elsewhere = range(self.local_world, self.world)
        if self.rank == 0:
            for rank in elsewhere:
                self._receive(file_of(rank), rank)
        elif self.rank in elsewhere:
            self._send(file_of(self.rank))

    def _send(self, file: Path) -> None:
        dist.send(torch.tensor([file.stat().st_size]), dst=0, group=self._group)
        with file.open("rb") as content:
            while piece := content.read(_PIECE_BYTES):
                dist.send(torch.frombuffer(bytearray(piece), dtype=torch.uint8), dst=0, group=self._group)

    def _receive(self, file: Path, rank: int) -> None:
        size_bytes = torch.empty(1, dtype=torch.int64)
        dist.recv(size_bytes, src=rank, group=self._group)
        left = int(size_bytes.item())
        with file.open("wb") as content:
            while left:
                piece = torch.empty(min(left, _PIECE_BYTES), dtype=torch.uint8)
                dist.recv(piece, src=rank, group=self._group)
                content.write(piece.numpy().data)
                left -= len(piece)
            content.flush()
            os.fsync(content.fileno())

    def wait(self) -> None:
        """Returns once all are here."""
        self.highest(0)
