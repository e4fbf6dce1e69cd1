"""A DeepSpeed configuration of one's own, as hyperparameters of ours. Nothing in it is passed over in silence, except
sizes of buffers and what DeepSpeed logs, which change no result."""

import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aift.errors import AiftError, invalid

PLACES: Final = ("offload_optimizer", "offload_param")
"""Where lies what can be offloaded."""
TRAININGS: Final[Mapping[str, str]] = {
    "per_device_train_batch_size": "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "max_grad_norm": "gradient_clipping",
    "learning_rate": "optimizer.params.lr",
    "weight_decay": "optimizer.params.weight_decay",
}
"""Hyperparameters that say what is learnt → their place in the file, which must not say otherwise than they do."""

_AUTO = "auto"
_KNOWN: Final[Mapping[str, Collection[str]]] = {
    "": (
        *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
        *("optimizer", "scheduler", "bf16", "fp16", "zero_optimization"),
        *("zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "communication_data_type", "aio"),
        *("steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "flops_profiler"),
    ),
    "zero_optimization": (
        *("stage", *PLACES, "contiguous_gradients", "overlap_comm", "reduce_scatter", "reduce_bucket_size"),
        *("allgather_partitions", "allgather_bucket_size", "round_robin_gradients", "sub_group_size"),
        *("stage3_prefetch_bucket_size", "stage3_param_persistence_threshold", "stage3_model_persistence_threshold"),
        *("stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_gather_16bit_weights_on_model_save"),
        *("stage3_gather_fp16_weights_on_model_save", "ignore_unused_parameters", "memory_efficient_linear"),
    ),
    "zero_optimization.offload_optimizer": (
        *("device", "nvme_path", "buffer_count", "pin_memory", "pipeline_read", "pipeline_write", "fast_init"),
    ),
    "zero_optimization.offload_param": (
        *("device", "nvme_path", "buffer_count", "buffer_size", "max_in_cpu", "pin_memory"),
    ),
    "optimizer": ("type", "params"),
    "optimizer.params": ("lr", "weight_decay", "betas", "eps", "torch_adam", "adam_w_mode"),
}
# What a training that is shared out has, whatever the file says.
_FIXED: Final[Mapping[str, tuple[object, ...]]] = {
    "optimizer.type": ("AdamW", "Adam"),
    "optimizer.params.betas": ([0.9, 0.999],),
    "optimizer.params.eps": (1e-8,),
    "optimizer.params.adam_w_mode": (True,),
}


def settings_of(path: Path) -> dict[str, object]:
    """The hyperparameters that a file asks for. Raises AiftError with all that is wrong in it."""
    config = _read(path)
    problems = [*_unknown(config), *_other_than_trained(config)]
    if problems:
        raise wrong("; ".join(en for en, _ in problems), "。".join(ja for _, ja in problems))
    asked: dict[str, object] = {"deepspeed_stage": _at(config, "zero_optimization.stage")}
    sections = {name: _at(config, f"zero_optimization.{name}") or {} for name in PLACES}
    asked |= {name: place for name in PLACES if (place := sections[name].get("device", "none")) != "none"}
    directories = [str(section["nvme_path"]) for section in sections.values() if section.get("nvme_path")]
    if "nvme" in asked.values() and directories:
        asked["disk_offload_dir"] = directories[0]
    said = {name: _at(config, place) for name, place in TRAININGS.items()}
    return asked | {name: value for name, value in said.items() if value not in (None, _AUTO)}


def refuse_other(name: str, asked: object, given: object) -> None:
    """Raises AiftError where the file asks for another value of a hyperparameter than is given."""
    if asked != given:
        place = TRAININGS[name]
        raise invalid(
            "deepspeed_config",
            "CONFLICTING_HYPERPARAMETERS",
            f'deepspeed_config: {place} is {asked}, but {name} is {given}; set {place} to "auto" or remove it.',
            f'deepspeed_config: {place} は {asked} ですが、{name} は {given} です。{place} を "auto" にするか、削除してください。',
        )


def wrong(en: str, ja: str) -> AiftError:
    """A deepspeed_config that cannot be obeyed."""
    return invalid(
        "deepspeed_config", "INVALID_HYPERPARAMETER", f"deepspeed_config: {en}.", f"deepspeed_config: {ja}。"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise wrong(f"{path} is no readable JSON: {error}", f"{path} を JSON として読めません: {error}") from error
    for place in _KNOWN:
        if not isinstance(_at(config, place), dict | None):
            raise wrong(
                f"{path}: {place or 'the whole'} must be an object",
                f"{path}: {place or '全体'} はオブジェクトでなければなりません",
            )
    if _at(config, "zero_optimization.stage") is None:
        raise wrong(
            f"{path} is no DeepSpeed configuration with zero_optimization.stage",
            f"{path} は zero_optimization.stage を持つ DeepSpeed の設定ではありません",
        )
    return dict(config)


def _at(config: Any, place: str) -> Any:
    """What stands at a dotted place; None where nothing does."""
    for name in place.split(".") if place else ():
        config = (config or {}).get(name)
    return config


def _unknown(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for place, known in _KNOWN.items():
        for name in _at(config, place) or {}:
            if name not in known:
                where = f"{place}.{name}" if place else name
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                yield (
                    f"{where} is no setting that is taken; " + (f"did you mean {near[0]}?" if near else "remove it"),
                    f"{where} という設定は使えません。" + (f"{near[0]} のことですか" if near else "削除してください"),
                )


def _other_than_trained(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for place, values in _FIXED.items():
        value = _at(config, place)
        if value not in (None, _AUTO, *values):
            shown = json.dumps(values[0])
            yield (
                f"{place} is {json.dumps(value)}, but the training uses {shown}; use that, or remove it",
                f"{place} は {json.dumps(value)} ですが、学習では {shown} を使います。それに合わせるか、削除してください",
            )
    if config.get("scheduler") not in (None, _AUTO):
        yield (
            "scheduler is not taken; remove it, and set lr_scheduler_type and warmup_steps",
            "scheduler は使えません。削除し、lr_scheduler_type と warmup_steps で指定してください",
        )
    if _enabled(config.get("fp16")):
        yield (
            'fp16 is enabled, but the hardware decides the precision; set fp16.enabled to "auto" or remove fp16',
            'fp16 が有効ですが、精度はハードウェアに合わせて選ばれます。fp16.enabled を "auto" にするか、削除してください',
        )
    yield from _other_batch(config)


def _enabled(section: object) -> bool:
    return isinstance(section, dict) and section.get("enabled") not in (None, False, _AUTO)


def _other_batch(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A batch over all processes that those of one process do not add up to."""
    batch = config.get("train_batch_size", _AUTO)
    parts = [config.get(name) for name in ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps")]
    micro, steps = (part if type(part) is int and part > 0 else None for part in parts)
    if batch == _AUTO or (micro and steps and type(batch) is int and batch % (micro * steps) == 0):
        return
    made_of = "train_micro_batch_size_per_gpu × gradient_accumulation_steps"
    yield (
        f'train_batch_size is {batch}, but must be {made_of} × processes; set those two, or set it to "auto"',
        f'train_batch_size の値 {batch} は {made_of} × プロセス数ではありません。この 2 つも指定するか、"auto" にしてください',
    )
