"""What a training needs of a machine, and whether the machine has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.training_service.lengths import Lengths
from services.training_service.memory import Load, estimate, offloaded_bytes, on_disk_bytes
from services.training_service.shape import ModelShape
from services.training_service.trainer.hyperparameters import Hyperparameters


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A worker as a plan sees it."""

    worker: str
    model: str = ""
    """Its GPUs' model, or what its processor is; empty where it is not known."""
    gpus: int
    available_bytes: int
    """Of its smallest GPU, or of the machine where it has none."""
    memory_bytes: int = 0
    """Of the machine; 0 where it is not known."""
    cores: int = 0
    """Of its processor; 0 where it is not known."""
    disk_free_bytes: int | None = None
    """Of the directory that it offers for offloading, 0 where it offers none; None where it is not known."""

    def most_processes(self, need: Need) -> int:
        """How many of this need it has room for: one a GPU, or as many as its memory holds."""
        return self.gpus or self.available_bytes // need.device_bytes

    def holds(self, need: Need) -> bool:
        """Whether all processes fit, and what they offload."""
        if self.disk_free_bytes is not None and need.on_disk_bytes > self.disk_free_bytes:
            return False
        if not self.gpus:
            return need.all_bytes <= self.available_bytes
        moved_fits = not self.memory_bytes or need.offloaded_bytes <= self.memory_bytes
        return need.load.processes <= self.gpus and need.device_bytes <= self.available_bytes and moved_fits


@dataclass(frozen=True, kw_only=True)
class Need:
    """Memory and disk that a training takes at its peak, in bytes."""

    load: Load
    parts: Mapping[str, int]
    """Of each device."""
    offloaded_bytes: int
    """Of the machine, for what all processes together offload."""
    on_disk_bytes: int
    """What all processes together offload to a disk."""

    @property
    def device_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())

    @property
    def all_bytes(self) -> int:
        """What all processes take together, which a machine without GPUs must hold."""
        return self.device_bytes * self.load.processes


def need_of(
    shape: ModelShape,
    hyperparameters: Hyperparameters,
    lengths: Lengths,
    *,
    train_rows: int,
    processes: int,
    on_gpu: bool,
) -> Need:
    """What a training on rows of these lengths needs."""
    longest = min(hyperparameters.max_length, lengths.longest_tokens)
    # More rows than there are never come together, however many are asked for.
    there = max(1, math.ceil(_rows_there(hyperparameters, lengths, train_rows) / processes))
    rows = min(hyperparameters.per_device_train_batch_size, there)
    if hyperparameters.packing:
        # Rows of other micro-batches fill one up to as many tokens as it may hold.
        filled = min(hyperparameters.gradient_accumulation_steps, math.ceil(there / rows))
        longest = min(hyperparameters.max_length, longest * filled)
    # Where answers are compared, a row is two sequences.
    sequences = rows * (2 if hyperparameters.prefers else 1)
    load = Load(rows=sequences, row_tokens=longest, processes=processes, on_gpu=on_gpu)
    return Need(
        load=load,
        parts=estimate(shape, hyperparameters, load),
        offloaded_bytes=offloaded_bytes(shape, hyperparameters, load),
        on_disk_bytes=on_disk_bytes(shape, hyperparameters, load),
    )


def _rows_there(hyperparameters: Hyperparameters, lengths: Lengths, train_rows: int) -> int:
    """Rows to train on, at most; in continued pretraining a row becomes as many as its length takes."""
    if hyperparameters.objective != "pretraining":
        return train_rows
    return train_rows + lengths.total // max(1, hyperparameters.max_length - 1)
