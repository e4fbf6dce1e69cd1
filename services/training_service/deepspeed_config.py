"""DeepSpeed's configuration for a training: every number explicit, none left to be guessed. Standard library only.

The trainer hands this very file to DeepSpeed; GenerateDeepSpeedConfig and `aift deepspeed` show it. It names no
optimizer: the trainer brings torch's AdamW, which runs wherever the shards lie and needs no compiler.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.training_service.trainer.hyperparameters import Hyperparameters

Precision = Literal["bf16", "fp16", "fp32"]

LARGE: Mapping[str, Any] = {"deepspeed_stage": 2, "offload_optimizer": "cpu"}
"""Gradients and optimizer shared among the ranks, the optimizer in the machine's memory."""
ULTRA_LARGE: Mapping[str, Any] = {"deepspeed_stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}
"""The weights too, and those in the machine's memory as well."""

# DeepSpeed's own defaults, written out.
BUCKET_NUMBERS = 500_000_000
"""Gradients that are reduced at once, at most."""
_PREFETCH_NUMBERS = 50_000_000
PERSISTENT_NUMBERS = 100_000
"""Stage 3 leaves weights of so few numbers whole once they were used."""
LIVE_NUMBERS = 1_000_000_000
"""Weights that stage 3 keeps whole at once, at most."""
_SUB_GROUP_NUMBERS = 1_000_000_000
GROUP_NUMBERS_ON_DISK = 100_000_000
"""Weights whose optimizer comes from a disk at once: a buffer holds as many."""
BUFFERS = 5
"""Buffers in the machine's memory through which optimizer or weights come from a disk: weights, gradients and two
moments of a group are there at once, and one more is being filled."""
BUFFER_NUMBERS = 100_000_000
"""Numbers in a buffer for weights where the model is not known."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the configuration depends on beside hyperparameters."""

    processes: int
    """Ranks that train together."""
    micro_batches: int
    """Micro-batches of an optimizer step and rank; packing may need fewer than gradient_accumulation_steps."""
    precision: Precision = "bf16"
    """Of weights and activations; masters and moments are fp32."""
    nvme_path: str = ""
    """The directory that takes what is moved to a disk."""
    largest_weight: int = 0
    """Numbers of the model's largest weight, a rank's share of which a buffer has to hold; 0: not known."""


def deepspeed_config(hyperparameters: Hyperparameters, shape: Shape) -> dict[str, Any]:
    """The configuration, ready for json.dumps."""
    batch = hyperparameters.per_device_train_batch_size
    return {
        "train_micro_batch_size_per_gpu": batch,
        "gradient_accumulation_steps": shape.micro_batches,
        "train_batch_size": batch * shape.micro_batches * shape.processes,
        "gradient_clipping": hyperparameters.max_grad_norm,
        **_precision(shape.precision),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": _zero(hyperparameters, shape),
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }


def to_json(config: Mapping[str, Any]) -> str:
    """The file's text."""
    return json.dumps(config, indent=2) + "\n"


def _precision(precision: Precision) -> dict[str, Any]:
    half: dict[str, Any] = {"bf16": {"enabled": precision == "bf16"}, "fp16": {"enabled": precision == "fp16"}}
    if precision == "fp16":
        half["fp16"] |= {"loss_scale": 0, "initial_scale_power": 16, "loss_scale_window": 1000, "hysteresis": 2}
    return half


def _zero(hyperparameters: Hyperparameters, shape: Shape) -> dict[str, Any]:
    stage = hyperparameters.deepspeed_stage
    section: dict[str, Any] = {
        "stage": stage,
        "contiguous_gradients": True,
        "overlap_comm": False,
        "reduce_scatter": True,
        "reduce_bucket_size": BUCKET_NUMBERS,
        "allgather_bucket_size": BUCKET_NUMBERS,
    }
    if stage and hyperparameters.offload_optimizer != "none":
        section["offload_optimizer"] = _place(hyperparameters.offload_optimizer, shape)
    if stage < 3:
        return section
    if hyperparameters.offload_param != "none":
        section["offload_param"] = _place(hyperparameters.offload_param, shape)
    # What is kept whole or fetched ahead keeps one of the few buffers through which weights come from a disk.
    from_disk = hyperparameters.offload_param == "nvme"
    if from_disk:
        share = math.ceil(shape.largest_weight / shape.processes)
        section["offload_param"] |= {"buffer_size": share or BUFFER_NUMBERS, "max_in_cpu": 0}
    live = 0 if from_disk else LIVE_NUMBERS
    return section | {
        "sub_group_size": GROUP_NUMBERS_ON_DISK if hyperparameters.offload_optimizer == "nvme" else _SUB_GROUP_NUMBERS,
        "stage3_prefetch_bucket_size": 0 if from_disk else _PREFETCH_NUMBERS,
        "stage3_param_persistence_threshold": PERSISTENT_NUMBERS,
        "stage3_max_live_parameters": live,
        "stage3_max_reuse_distance": live,
        "stage3_gather_16bit_weights_on_model_save": True,
    }


def _place(device: str, shape: Shape) -> dict[str, Any]:
    place = {"device": device, "pin_memory": shape.precision != "fp32"}
    return place | ({"nvme_path": shape.nvme_path, "buffer_count": BUFFERS} if device == "nvme" else {})
