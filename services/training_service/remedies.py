"""What to change where a training fits nowhere, the least harm first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.training_service.fitting import Machine, Need, need_of
from services.training_service.lengths import Lengths
from services.training_service.memory import Load
from services.training_service.notes import Note, gib
from services.training_service.shape import ModelShape
from services.training_service.trainer.hyperparameters import Hyperparameters

MOST_ACCUMULATION = 4096
# Sharing out costs time and needs DeepSpeed; it is not proposed for less than this share of the memory.
_LEAST_SAVING = 0.05


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change that saves memory, on top of those before it."""

    changes: Mapping[str, object]
    memory_bytes: int
    fits: bool
    note: Note


def remedies(
    shape: ModelShape, values: Hyperparameters, lengths: Lengths, need: Need, machines: Sequence[Machine]
) -> list[Remedy]:
    """Changes on top of each other, up to the first that makes it fit; `need` is what it takes before them."""
    found: list[Remedy] = []
    for change in _CHANGES:
        changes = change(values, need.load)
        if not changes:
            continue
        smaller = replace(values, **changes)
        if smaller.problems():
            continue
        after = need_of(shape, smaller, lengths, processes=need.load.processes, on_gpu=need.load.on_gpu)
        fits = any(machine.holds(after) for machine in machines)
        saved = need.device_bytes - after.device_bytes
        if smaller.on_disk and not values.on_disk:
            # Slow: only where it helps in the end. What it saves may be the machine's memory alone.
            if not fits or not any(machine.disk_free_bytes for machine in machines):
                continue
            saved += max(need.offloaded_bytes - after.offloaded_bytes, 0)
        elif saved <= 0 or (_is_sharing(changes) and saved < need.device_bytes * _LEAST_SAVING):
            continue
        note = _saving(changes, saved, after if _is_sharing(changes) else None)
        found.append(Remedy(changes=changes, memory_bytes=after.device_bytes, fits=fits, note=note))
        if fits:
            break
        values, need = smaller, after
    return found


def _saving(changes: Mapping[str, object], saved: int, moved: Need | None) -> Note:
    words = ", ".join(f"{name}={value}" for name, value in changes.items())
    en, ja = f"{words}: saves {gib(saved)} GiB.", f"{words}: {gib(saved)} GiB 減ります。"
    if moved and moved.offloaded_bytes:
        en += f" {gib(moved.offloaded_bytes)} GiB of the machine's memory are needed instead."
        ja += f"代わりにマシンのメモリを {gib(moved.offloaded_bytes)} GiB 使います。"
    if moved and moved.on_disk_bytes:
        en += f" {gib(moved.on_disk_bytes)} GiB of its disk are needed, and it trains more slowly."
        ja += f"ディスクを {gib(moved.on_disk_bytes)} GiB 使い、学習は遅くなります。"
    return Note(en=en, ja=ja)


def _is_sharing(changes: Mapping[str, object]) -> bool:
    return any(name.startswith(("deepspeed", "offload")) for name in changes)


def _one_row_at_a_time(values: Hyperparameters, _: Load) -> dict[str, object]:
    batch, accumulation = values.per_device_train_batch_size, values.gradient_accumulation_steps
    if batch == 1 or batch * accumulation > MOST_ACCUMULATION:
        return {}
    return {"per_device_train_batch_size": 1, "gradient_accumulation_steps": batch * accumulation}


def _recomputing(values: Hyperparameters, _: Load) -> dict[str, object]:
    return {} if values.gradient_checkpointing else {"gradient_checkpointing": True}


def _optimizer_away(values: Hyperparameters, load: Load) -> dict[str, object]:
    if not load.on_gpu or values.offload_optimizer != "none":
        return {}
    return {"deepspeed_stage": values.deepspeed_stage or 2, "offload_optimizer": "cpu"}


def _shared_optimizer(values: Hyperparameters, load: Load) -> dict[str, object]:
    return {"deepspeed_stage": 2} if load.processes > 1 and values.deepspeed_stage < 2 else {}


def _shared_weights(values: Hyperparameters, load: Load) -> dict[str, object]:
    return {"deepspeed_stage": 3} if load.processes > 1 and values.deepspeed_stage < 3 else {}


def _weights_away(values: Hyperparameters, load: Load) -> dict[str, object]:
    if not load.on_gpu or values.offload_param != "none":
        return {}
    return {"deepspeed_stage": 3, "offload_param": "cpu"}


def _to_disk(values: Hyperparameters, _: Load) -> dict[str, object]:
    if values.on_disk:
        return {}
    # Weights in 4 bits cannot lie there.
    weights = {} if values.method == "qlora" else {"offload_param": "nvme"}
    return {"deepspeed_stage": 3, "offload_optimizer": "nvme", **weights}


def _adapters(values: Hyperparameters, _: Load) -> dict[str, object]:
    return {"method": "lora"} if values.method == "full" else {}


def _four_bits(values: Hyperparameters, _: Load) -> dict[str, object]:
    return {"method": "qlora"} if values.method == "lora" else {}


def _shorter(values: Hyperparameters, _: Load) -> dict[str, object]:
    return {"max_length": max(256, values.max_length // 2)} if values.max_length > 256 else {}


def _lower_rank(values: Hyperparameters, _: Load) -> dict[str, object]:
    return {"lora_r": 8} if values.method != "full" and values.lora_r > 8 else {}


_CHANGES: Sequence[Callable[[Hyperparameters, Load], dict[str, Any]]] = (
    _one_row_at_a_time,
    _recomputing,
    _optimizer_away,
    _shared_optimizer,
    _shared_weights,
    _weights_away,
    _to_disk,
    _adapters,
    _four_bits,
    _shorter,
    _lower_rank,
)
"""What saves memory, the least harm first."""
