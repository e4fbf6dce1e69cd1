"""What to change where a training fits nowhere, the least harm first."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.training_service.fitting import Machine, Need
from services.training_service.memory import Load
from services.training_service.notes import Note, in_bytes
from services.training_service.trainer.hyperparameters import Hyperparameters

MOST_ACCUMULATION = 4096
# Shares of the memory for less than which nothing is proposed. Sharing out costs time and needs DeepSpeed.
_LEAST_SAVING = 0.01
_LEAST_SAVING_OF_SHARING = 0.05


NeedFor = Callable[[Hyperparameters, int], Need]
"""What a training with these hyperparameters takes on so many processes."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change that saves memory, or takes fewer GPUs, on top of those before it."""

    changes: Mapping[str, object]
    """Of the hyperparameters."""
    processes: int = 0
    """0: as many as before."""
    memory_bytes: int
    fits: bool
    note: Note


def remedies(
    values: Hyperparameters, need: Need, need_for: NeedFor, machines: Sequence[Machine], kept: Collection[str]
) -> list[Remedy]:
    """Changes on top of each other, up to the first that makes it fit; `need` is what it takes before them. Those of
    hyperparameters named in `kept` are not proposed."""
    found: list[Remedy] = []
    processes = need.load.processes
    if too_many_processes(need, machines):
        processes = max(_sensible_processes(machine, need) for machine in machines)
        need = need_for(values, processes)
        fits = any(machine.holds(need) for machine in machines)
        found.append(_fewer_processes(processes, need, fits=fits))
        if fits:
            return found
    for change in _CHANGES:
        changes = change(values, need.load)
        if not changes or not changes.keys().isdisjoint(kept):
            continue
        smaller = replace(values, **changes)
        if smaller.problems():
            continue
        after = need_for(smaller, processes)
        fits = any(machine.holds(after) for machine in machines)
        saved = need.device_bytes - after.device_bytes
        if smaller.on_disk and not values.on_disk:
            # Slow: only where it helps in the end. What it saves may be the machine's memory alone.
            if not fits or not any(machine.disk_free_bytes for machine in machines):
                continue
            saved += max(need.offloaded_bytes - after.offloaded_bytes, 0)
        elif saved < need.device_bytes * (_LEAST_SAVING_OF_SHARING if _is_sharing(changes) else _LEAST_SAVING):
            continue
        note = _saving(changes, saved, after if _is_sharing(changes) else None)
        found.append(Remedy(changes=changes, memory_bytes=after.device_bytes, fits=fits, note=note))
        if fits:
            break
        values, need = smaller, after
    return found


def too_many_processes(need: Need, machines: Sequence[Machine]) -> bool:
    """Whether each machine has GPUs or memory for fewer."""
    return bool(machines) and all(0 < machine.most_processes(need) < need.load.processes for machine in machines)


def fixed_part_is_too_large(need: Need, machines: Sequence[Machine]) -> bool:
    """Whether no machine has room even for what a process takes whatever is trained, so that no change helps."""
    return bool(machines) and all(machine.available_bytes < need.parts["overhead"] for machine in machines)


def _sensible_processes(machine: Machine, need: Need) -> int:
    """As many as it has room for, but no more than cores where those compute."""
    most = machine.most_processes(need)
    return most if machine.gpus else min(most, machine.cores or most)


def _fewer_processes(processes: int, need: Need, *, fits: bool) -> Remedy:
    size = in_bytes(need.device_bytes)
    if not need.load.on_gpu:
        total = in_bytes(need.all_bytes)
        note = Note(
            en=f"processes={processes}: takes {total} of the machine's memory, {size} each.",
            ja=f"processes={processes}: マシンのメモリを合計 {total}（1 プロセスあたり {size}）使います。",
        )
        return Remedy(changes={}, processes=processes, memory_bytes=need.device_bytes, fits=fits, note=note)
    note = Note(
        en=f"processes={processes}: as many as there are GPUs; takes {size} of each.",
        ja=f"processes={processes}: GPU の台数に合わせます。1 台あたり {size} 使います。",
    )
    return Remedy(changes={}, processes=processes, memory_bytes=need.device_bytes, fits=fits, note=note)


def _saving(changes: Mapping[str, object], saved: int, moved: Need | None) -> Note:
    words = ", ".join(f"{name}={value}" for name, value in changes.items())
    en, ja = f"{words}: saves {in_bytes(saved)}.", f"{words}: {in_bytes(saved)} 減ります。"
    if moved and moved.offloaded_bytes:
        en += f" {in_bytes(moved.offloaded_bytes)} of the machine's memory are needed instead."
        ja += f"代わりにマシンのメモリを {in_bytes(moved.offloaded_bytes)} 使います。"
    if moved and moved.on_disk_bytes:
        en += f" {in_bytes(moved.on_disk_bytes)} of its disk are needed, and it trains more slowly."
        ja += f"ディスクを {in_bytes(moved.on_disk_bytes)} 使い、学習は遅くなります。"
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
