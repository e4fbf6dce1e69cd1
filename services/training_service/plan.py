"""What a training would take, told before any hardware is."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.training_service.admission import Admitted, split_rows
from services.training_service.memory import Load, estimate, offloaded_bytes, trained_parameters
from services.training_service.trainer.hyperparameters import Hyperparameters

# The manual's advice on the amount of data.
_FEW_ROWS = 100
_ENOUGH_ROWS = 1000
MOST_ACCUMULATION = 4096
# Sharing out costs time and needs DeepSpeed; it is not proposed for less than this share of the memory.
_LEAST_SAVING = 0.05
# A chat template and its marks add a few tokens to a row; Japanese has about one token a character or fewer.
_TEMPLATE_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A worker as a plan sees it: bytes of its smallest GPU, or of the machine where it has none."""

    worker: str
    gpus: int
    available_bytes: int


@dataclass(frozen=True, kw_only=True)
class Note:
    """What to know, in both languages."""

    en: str
    ja: str


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change that saves memory, on top of those before it."""

    changes: Mapping[str, object]
    memory_bytes: int
    fits: bool
    note: Note


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The figures of a training."""

    parameters: int
    trained_parameters: int
    train_rows: int
    eval_rows: int
    steps: int
    effective_batch: int
    memory: Mapping[str, int]
    fits: Sequence[tuple[Machine, bool]]
    notes: Sequence[Note]
    remedies: Sequence[Remedy]

    @property
    def memory_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.memory.values())


def optimizer_steps(hyperparameters: Hyperparameters, *, train_rows: int, processes: int) -> int:
    """How often the optimizer moves. The last step of an epoch takes the rows that are left."""
    if hyperparameters.max_steps > 0:
        return hyperparameters.max_steps
    per_step = effective_batch(hyperparameters, processes)
    return max(math.ceil(math.ceil(train_rows / per_step) * hyperparameters.num_train_epochs), 1)


def effective_batch(hyperparameters: Hyperparameters, processes: int) -> int:
    """Rows of an optimizer step over all devices."""
    rows = hyperparameters.per_device_train_batch_size * hyperparameters.gradient_accumulation_steps
    return rows * processes


def plan(admitted: Admitted, machines: Sequence[Machine]) -> Plan:
    """Counts; `machines` are the workers that there are."""
    spec, shape = admitted.spec, admitted.base.shape
    hyperparameters = spec.hyperparameters
    on_gpu = any(machine.gpus for machine in machines)
    processes = spec.processes or max((machine.gpus for machine in machines), default=0) or 1
    if admitted.eval_rows is None:
        train_rows, eval_rows = split_rows(admitted.rows.rows, hyperparameters.eval_split)
    else:
        train_rows, eval_rows = admitted.rows.rows, admitted.eval_rows.rows
    longest = min(hyperparameters.max_length, admitted.rows.longest_row_characters + _TEMPLATE_TOKENS)
    # Where answers are compared, a row is two sequences.
    rows = hyperparameters.per_device_train_batch_size * (2 if hyperparameters.prefers else 1)
    load = Load(rows=rows, row_tokens=longest, processes=processes, on_gpu=on_gpu)
    memory = estimate(shape, hyperparameters, load)
    fits = [(machine, _fits(machine, sum(memory.values()), processes)) for machine in machines]
    return Plan(
        parameters=shape.parameters,
        trained_parameters=trained_parameters(shape, hyperparameters),
        train_rows=train_rows,
        eval_rows=eval_rows,
        steps=optimizer_steps(hyperparameters, train_rows=train_rows, processes=processes),
        effective_batch=effective_batch(hyperparameters, processes),
        memory=memory,
        fits=fits,
        notes=[*_row_notes(train_rows), *_memory_notes(memory, fits)],
        remedies=_remedies(admitted, load, machines) if fits and not any(fit for _, fit in fits) else [],
    )


def _fits(machine: Machine, bytes_each: int, processes: int) -> bool:
    if machine.gpus:
        return processes <= machine.gpus and bytes_each <= machine.available_bytes
    return bytes_each * processes <= machine.available_bytes


def _row_notes(rows: int) -> Iterator[Note]:
    if rows < _FEW_ROWS:
        yield Note(
            en=f"Only {rows} rows to train on; at least {_FEW_ROWS} are advised, {_ENOUGH_ROWS} or more are better.",
            ja=f"学習に使う行は {rows} 件だけです。最低 {_FEW_ROWS} 件、推奨 {_ENOUGH_ROWS} 件以上です。",
        )
    elif rows < _ENOUGH_ROWS:
        yield Note(
            en=f"{rows} rows to train on; {_ENOUGH_ROWS} or more are better.",
            ja=f"学習に使う行は {rows} 件です。{_ENOUGH_ROWS} 件以上を推奨します。",
        )


def _memory_notes(memory: Mapping[str, int], fits: Sequence[tuple[Machine, bool]]) -> Iterator[Note]:
    if not fits:
        yield Note(
            en="No worker was seen in the last minute; the job would wait for one.",
            ja="直近 1 分間に応答したワーカーがありません。ジョブはワーカーが来るまで待機します。",
        )
    elif not any(fit for _, fit in fits):
        total = _gib(sum(memory.values()))
        yield Note(
            en=f"Needs about {total} GiB a device, which is nowhere to be had. What would help, the least harm first:",
            ja=f"デバイスごとに約 {total} GiB 必要ですが、足りるデバイスがありません。影響の小さい順の対策:",
        )


def _remedies(admitted: Admitted, load: Load, machines: Sequence[Machine]) -> list[Remedy]:
    """Changes on top of each other, the least harm first, up to the first that makes it fit."""
    shape, values = admitted.base.shape, admitted.spec.hyperparameters
    before = sum(estimate(shape, values, load).values())
    found: list[Remedy] = []
    for change in _CHANGES:
        changes = change(values, load)
        if not changes:
            continue
        smaller = replace(values, **changes)
        rows = smaller.per_device_train_batch_size * (2 if smaller.prefers else 1)
        lighter = replace(load, rows=rows, row_tokens=min(load.row_tokens, smaller.max_length))
        after = sum(estimate(shape, smaller, lighter).values())
        if after >= before or (_is_sharing(changes) and before - after < before * _LEAST_SAVING):
            continue
        moved = offloaded_bytes(shape, smaller, lighter) if _is_sharing(changes) else 0
        fits = any(_fits(machine, after, load.processes) for machine in machines)
        found.append(
            Remedy(changes=changes, memory_bytes=after, fits=fits, note=_saving(changes, before - after, moved))
        )
        if fits:
            break
        values, before = smaller, after
    return found


def _saving(changes: Mapping[str, object], saved: int, moved: int) -> Note:
    words = ", ".join(f"{name}={value}" for name, value in changes.items())
    en, ja = f"{words}: saves {_gib(saved)} GiB.", f"{words}: {_gib(saved)} GiB 減ります。"
    if moved:
        en += f" {_gib(moved)} GiB of the machine's memory are needed instead."
        ja += f"代わりにマシンのメモリを {_gib(moved)} GiB 使います。"
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
    shares = replace(values, deepspeed_stage=3)
    return {"deepspeed_stage": 3} if load.processes > 1 and values.deepspeed_stage < 3 and _holds(shares) else {}


def _weights_away(values: Hyperparameters, load: Load) -> dict[str, object]:
    away = replace(values, deepspeed_stage=3, offload_param="cpu")
    if not load.on_gpu or values.offload_param != "none" or not _holds(away):
        return {}
    return {"deepspeed_stage": 3, "offload_param": "cpu"}


def _holds(values: Hyperparameters) -> bool:
    return not values.problems()


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
    _adapters,
    _four_bits,
    _shorter,
    _lower_rank,
)
"""What saves memory, the least harm first."""


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f}"
