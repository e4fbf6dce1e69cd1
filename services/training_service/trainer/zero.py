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
from services.training_service.trainer import disk_library, swap_folder
from services.training_service.trainer.failures import ConfigurationError, configuration
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.ranks import Ranks


def check(hyperparameters: Hyperparameters) -> None:
    """Raises ConfigurationError where DeepSpeed is asked for and not installed, or a directory that it cannot use."""
    if hyperparameters.on_disk:
        problem = swap_folder.problem_of(hyperparameters.disk_offload_dir, "hyperparameters.disk_offload_dir")
        if problem is not None:
            raise ConfigurationError(problem)
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
    swaps: Path | None = None
    """This rank's folder for what lies on disk."""
    largest_weight: int = 0
    """Numbers of the model's largest weight, where anything lies on disk."""
    _at_load: Any = field(default=None, init=False, repr=False)
    """Tells transformers to share weights out while they are read; it looks only while this lives."""

    @classmethod
    def start(
        cls, hyperparameters: Hyperparameters, ranks: Ranks, device: torch.device, model: Path, swaps: Path | None
    ) -> Zero | None:
        """None where DeepSpeed is not asked for. Raises ConfigurationError."""
        if not hyperparameters.deepspeed_stage:
            return None
        sizes = weight_sizes(model) if swaps else [0]
        if swaps:
            swap_folder.check_room(swaps, _on_disk_bytes(sum(sizes), hyperparameters, ranks, device))
        if device.type == "cpu":
            os.environ["DS_ACCELERATOR"] = "cpu"
        import deepspeed

        if device.type == "cpu":
            # Else DeepSpeed compiles a library for shared memory first; gloo does what it does.
            deepspeed.ops.__compatible_ops__ = {}
        if hyperparameters.on_disk:
            disk_library.load(f"hyperparameters.{hyperparameters.on_disk}")
        deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
        _tell_accelerate("gloo" if device.type == "cpu" else "nccl")
        zero = cls(hyperparameters, ranks, device, swaps, max(sizes))
        zero._share_while_loading()
        return zero

    def _share_while_loading(self) -> None:
        if self.hyperparameters.deepspeed_stage == 3 and self.hyperparameters.method != "qlora":
            from transformers.integrations import HfDeepSpeedConfig

            self._at_load = HfDeepSpeedConfig(self.config(self.hyperparameters.gradient_accumulation_steps))

    def config(self, micro_batches: int) -> dict[str, Any]:
        """What DeepSpeed is given."""
        shape = Shape(
            processes=self.ranks.world,
            micro_batches=micro_batches,
            precision=precision_of(self.device),
            nvme_path=str(self.swaps or ""),
            largest_weight=self.largest_weight,
        )
        return deepspeed_config(self.hyperparameters, shape)


def weight_sizes(model: Path) -> list[int]:
    """How many numbers each weight of a model has, which is not read for that."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(model), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        weights = AutoModelForCausalLM.from_config(config).parameters()
        return [int(weight.numel()) for weight in weights]


def _on_disk_bytes(numbers: int, hyperparameters: Hyperparameters, ranks: Ranks, device: torch.device) -> int:
    """What the ranks of this node swap out of a model of so many numbers; without adapters, which are few."""
    weight_bytes = 4 if precision_of(device) == "fp32" else 2
    of_weights = weight_bytes if hyperparameters.offload_param == "nvme" else 0
    trained = hyperparameters.method == "full" and hyperparameters.offload_optimizer == "nvme"
    # Masters, gradients and two moments.
    return numbers * (of_weights + (16 if trained else 0)) * ranks.local_world // ranks.world


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


def states(optimizer: Any, ranks: Ranks) -> Iterator[tuple[str, dict[str, Any]]]:
    """This rank's part of the optimizer: names of files and what they hold. What lies on disk is in memory a group of
    weights at a time."""
    engine = _shared_optimizer(optimizer)
    rates = [group["lr"] for group in engine.optimizer.param_groups]
    yield "optimizer", {"layout": _layout(engine, ranks), "rates": rates, "scale": _numbers(engine.loss_scaler)}
    for number, master in enumerate(_masters(engine)):
        with _in_memory(engine, number):
            # Copies: of views into larger buffers all of those would be written.
            moments = {name: moment.clone() for name, moment in engine.optimizer.state[master].items()}
            yield f"optimizer-{number}", {"master": master.detach().clone(), "moments": moments}


def load_states(directory: Path, optimizer: Any, ranks: Ranks) -> None:
    """Puts this rank's part back. Raises ConfigurationError where the checkpoint was shared out otherwise."""
    engine = _shared_optimizer(optimizer)
    file = directory / f"optimizer-{ranks.rank}.pt"
    stored = _read(file) if file.exists() else {}
    if stored.get("layout") != _layout(engine, ranks):
        raise shared_otherwise()
    for number, master in enumerate(_masters(engine)):
        group = _read(directory / f"optimizer-{number}-{ranks.rank}.pt")
        with _in_memory(engine, number, written=True):
            with torch.no_grad():
                master.copy_(group["master"])
            engine.optimizer.state[master] = {n: moment.to(master.device) for n, moment in group["moments"].items()}
    for group, rate in zip(engine.optimizer.param_groups, stored["rates"], strict=True):
        group["lr"] = rate
    vars(engine.loss_scaler).update(stored["scale"])


def _layout(engine: Any, ranks: Ranks) -> list[int]:
    """What has to be the same for a rank's part to fit."""
    return [ranks.world, _stage(engine), len(_masters(engine))]


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    return content


@contextmanager
def _in_memory(engine: Any, number: int, *, written: bool = False) -> Iterator[None]:
    """A group's master and moments can be read inside, also where they lie on disk; with `written`, changed too."""
    swapper, master = getattr(engine, "optimizer_swapper", None), _masters(engine)[number]
    if swapper is None or not swapper.is_swappable_tensor(numel=engine.fp16_partitioned_groups_flat_numel[number]):
        yield
        return
    swapper.swap_in_optimizer_state(parameter=master)
    yield
    if written:
        swapper.swap_out_optimizer_state(parameter=master)
    else:
        swapper.release_swap_buffers(parameter=master)
        master.grad = None  # came along, from where it still lies


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
