"""DeepSpeed ZeRO: what the ranks share out instead of each holding all of it.

Stage 1 and 2 leave the weights whole on every rank. Under stage 3 a weight is whole only while its layer runs, or
inside `gathered`, which all ranks enter together. Checkpoints hold whole weights, and of the optimizer each rank's part.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from services.training_service.deepspeed_config import Precision, Shape, deepspeed_config
from services.training_service.trainer.failures import configuration
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.ranks import Ranks


def check(hyperparameters: Hyperparameters) -> None:
    """Raises ConfigurationError where DeepSpeed is asked for and not installed."""
    if not hyperparameters.deepspeed_stage or importlib.util.find_spec("deepspeed") is not None:
        return
    command = "pip install 'aift[deepspeed]'"
    raise configuration(
        "DEEPSPEED_MISSING",
        "hyperparameters.deepspeed_stage",
        f"DeepSpeed is not installed on this machine; install it with: {command}",
        f"このマシンに DeepSpeed がありません。次のコマンドで入れてください: {command}",
    )


def precision_of(device: torch.device) -> Precision:
    """bf16 on GPUs that have it, fp16 on others, fp32 on CPUs."""
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


@dataclass
class Zero:
    """DeepSpeed in this process. Made after the ranks have met and before weights are read."""

    hyperparameters: Hyperparameters
    ranks: Ranks
    device: torch.device
    _at_load: Any = field(default=None, init=False, repr=False)
    """Tells transformers to share weights out while they are read; it looks only while this lives."""

    @classmethod
    def start(cls, hyperparameters: Hyperparameters, ranks: Ranks, device: torch.device) -> Zero | None:
        """None where DeepSpeed is not asked for."""
        if not hyperparameters.deepspeed_stage:
            return None
        if device.type == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"
        import deepspeed

        if device.type == "cpu":
            # Else DeepSpeed compiles a library for shared memory first; gloo does what it does.
            deepspeed.ops.__compatible_ops__ = {}
        deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
        _tell_accelerate("gloo" if device.type == "cpu" else "nccl")
        zero = cls(hyperparameters, ranks, device)
        zero._share_while_loading()
        return zero

    def _share_while_loading(self) -> None:
        if self.hyperparameters.deepspeed_stage == 3 and self.hyperparameters.method != "qlora":
            from transformers.integrations import HfDeepSpeedConfig

            self._at_load = HfDeepSpeedConfig(self.config(self.hyperparameters.gradient_accumulation_steps))

    def config(self, micro_batches: int) -> dict[str, Any]:
        """What DeepSpeed is given."""
        shape = Shape(processes=self.ranks.world, micro_batches=micro_batches, precision=precision_of(self.device))
        return deepspeed_config(self.hyperparameters, shape)


def _tell_accelerate(backend: str) -> None:
    """Makes accelerate's state, which without a backend by name takes CPU ranks that use DeepSpeed for lone ones."""
    from accelerate import PartialState

    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    PartialState(backend=backend)


def is_shared(parameter: torch.Tensor) -> bool:
    """Whether this rank holds only a part of it."""
    return hasattr(parameter, "ds_id")


@contextmanager
def gathered(parameters: Sequence[torch.Tensor], *, written: bool = False) -> Iterator[None]:
    """Shared weights are whole inside; with `written`, rank 0's are everybody's afterwards. All ranks enter together."""
    shared = [parameter for parameter in parameters if is_shared(parameter)]
    if not shared:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(shared, modifier_rank=0 if written else None):
        yield


def save_states(path: Path, optimizer: Any, ranks: Ranks) -> None:
    """Writes this rank's part of the optimizer."""
    engine = _shared_optimizer(optimizer)
    states = {
        "world": ranks.world,
        "stage": _stage(engine),
        "masters": [master.detach() for master in _masters(engine)],
        "moments": [dict(engine.optimizer.state[master]) for master in _masters(engine)],
        "rates": [group["lr"] for group in engine.optimizer.param_groups],
        "scale": _numbers(engine.loss_scaler),
    }
    torch.save(states, path)


def load_states(path: Path, optimizer: Any, ranks: Ranks) -> None:
    """Puts this rank's part back. Raises ConfigurationError where the checkpoint was shared out otherwise."""
    engine = _shared_optimizer(optimizer)
    states = torch.load(path, weights_only=True, map_location="cpu") if path.exists() else {}
    if (states.get("world"), states.get("stage")) != (ranks.world, _stage(engine)):
        raise shared_otherwise()
    for master, stored, moments in zip(_masters(engine), states["masters"], states["moments"], strict=True):
        with torch.no_grad():
            master.copy_(stored)
        engine.optimizer.state[master] = {name: moment.to(master.device) for name, moment in moments.items()}
    for group, rate in zip(engine.optimizer.param_groups, states["rates"], strict=True):
        group["lr"] = rate
    vars(engine.loss_scaler).update(states["scale"])


def is_sharing(optimizer: Any) -> bool:
    """Whether the optimizer is DeepSpeed's."""
    return hasattr(getattr(optimizer, "optimizer", None), "loss_scaler")


def shared_otherwise() -> Exception:
    """The error of a checkpoint whose optimizer state is not of these ranks and this stage."""
    return configuration(
        "CHECKPOINT_MISMATCH",
        "checkpoint",
        "the checkpoint's optimizer was shared out otherwise; go on with its deepspeed_stage and number of ranks",
        "オプティマイザの分割がチェックポイントと異なります。同じ deepspeed_stage とプロセス数で再開してください",
    )


def _shared_optimizer(optimizer: Any) -> Any:
    return optimizer.optimizer  # accelerate's wrapper around DeepSpeed's optimizer around torch's


def _stage(engine: Any) -> int:
    return 3 if hasattr(engine, "fp32_partitioned_groups_flat") else 2 if engine.partition_gradients else 1


def _masters(engine: Any) -> list[torch.Tensor]:
    """The fp32 weights that the optimizer moves, as far as they are this rank's."""
    held = engine.fp32_partitioned_groups_flat if _stage(engine) == 3 else engine.single_partition_of_fp32_groups
    return list(held)


def _numbers(scaler: Any) -> dict[str, float | int | bool]:
    return {name: value for name, value in vars(scaler).items() if isinstance(value, bool | int | float)}
