"""How to train: names and meaning as in transformers and PEFT, defaults as in the manual. Standard library only."""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from services.text.problems import Problem

Method = Literal["lora", "qlora", "full"]
Objective = Literal["sft", "pretraining", "dpo", "orpo", "kto"]
Schedule = Literal["linear", "cosine", "constant"]
Offload = Literal["none", "cpu", "nvme"]
Optim = Literal["adamw_torch_fused", "adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "adafactor", "sgd"]


@dataclass(frozen=True)
class Bounds:
    """The numbers that a field may have."""

    low: float
    high: float
    above_low: bool = False
    """Whether `low` itself is refused."""
    below_high: bool = False
    """Whether `high` itself is refused."""

    def hold(self, value: float) -> bool:
        """Whether the number is finite and inside."""
        above = value > self.low if self.above_low else value >= self.low
        below = value < self.high if self.below_high else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        return f"{'(' if self.above_low else '['}{self.low:.10g}, {self.high:.10g}{')' if self.below_high else ']'}"


def number(default: float, low: float, high: float, **ends: bool) -> Any:
    """A numeric field with its default and bounds."""
    return field(default=default, metadata={"bounds": Bounds(low, high, **ends)})


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Every hyperparameter with its default; `problems` tells which are out of range."""

    method: Method = "lora"
    """lora: adapters beside frozen weights; qlora: the same with weights in 4 bits (NF4); full: all weights."""
    learning_rate: float = number(3e-4, 0, 1, above_low=True)
    """Highest learning rate."""
    num_train_epochs: float = number(3.0, 0, 1000, above_low=True)
    """Passes over the training rows."""
    max_steps: int = number(0, 0, 10**9)
    """Optimizer steps; overrides num_train_epochs when above 0."""
    per_device_train_batch_size: int = number(4, 1, 4096)
    """Rows per micro-batch and rank."""
    gradient_accumulation_steps: int = number(1, 1, 4096)
    """Micro-batches per optimizer step. A step holds batch x accumulation x ranks rows, packed or not."""
    max_length: int = number(512, 8, 1_048_576)
    """Longest row in tokens; longer ones are cut and counted."""
    lora_r: int = number(16, 1, 1024)
    """Rank of the adapters."""
    lora_alpha: float = number(32.0, 0, 65_536, above_low=True)
    """Scale of the adapters: they count lora_alpha / lora_r."""
    lora_dropout: float = number(0.0, 0, 1, below_high=True)
    """Share of the adapters' inputs dropped while training."""
    lora_target_modules: tuple[str, ...] = ()
    """Layers that get adapters, by the last part of their name; empty: all linear layers of the architecture."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(lora_r) instead."""
    use_dora: bool = False
    """Split magnitude and direction."""
    lr_scheduler_type: Schedule = "linear"
    """How the learning rate moves after the warm-up."""
    warmup_ratio: float = number(0.03, 0, 1)
    """Share of all steps in which the learning rate rises."""
    weight_decay: float = number(0.0, 0, 1)
    """Weight decay."""
    max_grad_norm: float = number(1.0, 0, 1e9)
    """Gradients are scaled down to this norm; 0: never."""
    seed: int = number(42, 0, 2**32 - 1)
    """Order and split of rows, start of the adapters, dropout."""
    eval_split: float = number(0.05, 0, 0.5)
    """Share of the rows held out where no evaluation rows are given."""
    eval_steps: int = number(0, 0, 10**9)
    """Optimizer steps between evaluations; 0: before and after only."""
    save_steps: int = number(0, 0, 10**9)
    """Optimizer steps between checkpoints; 0: by time, every ten minutes."""
    logging_steps: int = number(1, 1, 10**9)
    """Optimizer steps between metric events."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them."""
    packing: bool = True
    """Put the rows of a step into few sequences without padding. Loss and gradients stay those of the unpacked step."""
    dataloader_num_workers: int = number(0, 0, 64)
    """Processes that load batches; 0: the trainer itself."""
    objective: Objective = "sft"
    """sft: to write the answers; pretraining: to write on in plain text, long rows cut into several; dpo, orpo: to
    prefer the chosen answers to the rejected ones; kto: the same from answers labelled as wanted or not."""
    beta: float = number(0.1, 0, 100, above_low=True)
    """How closely dpo and kto keep to the model before training; how much orpo weighs preferences."""
    neftune_noise_alpha: float = number(0.0, 0, 1000)
    """Noise on the embeddings while training (NEFTune); 0: none."""
    early_stopping_patience: int = number(0, 0, 1000)
    """Evaluations without a better eval_loss after which training ends early; 0: never."""
    load_best_model_at_end: bool = False
    """Take the weights of the evaluation with the best eval_loss as the result instead of the last ones."""
    warmup_steps: int = number(0, 0, 10**9)
    """Optimizer steps in which the learning rate rises; overrides warmup_ratio when above 0."""
    deepspeed_stage: int = number(0, 0, 3)
    """What the ranks share out by DeepSpeed ZeRO: 1 the optimizer, 2 gradients too, 3 weights too; 0: nothing."""
    offload_optimizer: Offload = "none"
    """cpu: optimizer and masters lie in the machine's memory; needs a deepspeed_stage. nvme: on a fast disk; needs
    stage 3."""
    offload_param: Offload = "none"
    """cpu: the shared weights lie in the machine's memory; nvme: on a fast disk. Needs deepspeed_stage 3."""
    optim: Optim = "adamw_torch_fused"
    """What moves the weights, by transformers' name; with a deepspeed_stage AdamW only."""
    disk_offload_dir: str = ""
    """The directory for what lies on disk. Workers offer one each; a job that names none takes any worker's."""

    @property
    def needs_bitsandbytes(self) -> bool:
        """Whether weights or moments are held in few bits, which bitsandbytes does."""
        return self.method == "qlora" or "8bit" in self.optim

    @property
    def on_disk(self) -> str:
        """The first setting that moves something to a disk; empty where none does."""
        moved = ("offload_optimizer", "offload_param")
        return next((name for name in moved if getattr(self, name) == "nvme"), "")

    @property
    def prefers(self) -> bool:
        """Whether the objective compares answers instead of learning to write them."""
        return self.objective in ("dpo", "orpo", "kto")

    def problems(self, path: str = "hyperparameters") -> list[Problem]:
        """Every number that is out of its bounds, and every setting that lacks another. The texts stand beside the field's
        name, which they do not repeat."""
        evaluations = [
            _needs_evaluations(f"{path}.{name}")
            for name in ("early_stopping_patience", "load_best_model_at_end")
            if getattr(self, name) and not self.eval_steps
        ]
        return [*self.out_of_bounds(path), *evaluations, *self._sharing_problems(path)]

    def out_of_bounds(self, path: str = "hyperparameters") -> list[Problem]:
        """Every number that is out of its bounds."""
        return [problem for item in fields(self) for problem in self._out_of_bounds(item, path)]

    def _sharing_problems(self, path: str) -> list[Problem]:
        found = []
        if self.offload_optimizer == "nvme" and self.deepspeed_stage != 3:
            found.append(_needs_stage(f"{path}.offload_optimizer", "3", "3"))
        elif self.offload_optimizer != "none" and not self.deepspeed_stage:
            found.append(_needs_stage(f"{path}.offload_optimizer", "1, 2 or 3", "1、2、3 のいずれか"))
        if self.offload_param != "none" and self.deepspeed_stage != 3:
            found.append(_needs_stage(f"{path}.offload_param", "3", "3"))
        if self.offload_param == "nvme" and self.method == "qlora":
            found.append(_not_in_4_bits(f"{path}.offload_param"))
        if self.disk_offload_dir and not self.on_disk:
            found.append(_nothing_on_disk(f"{path}.disk_offload_dir", self.disk_offload_dir))
        if self.deepspeed_stage and not self.optim.startswith("adamw_torch"):
            found.append(_not_shared_out(f"{path}.optim", self.optim))
        return found

    def _out_of_bounds(self, item: Field[Any], path: str) -> list[Problem]:
        bounds, value = item.metadata.get("bounds"), getattr(self, item.name)
        if bounds is None or bounds.hold(value):
            return []
        name = f"{path}.{item.name}"
        return [
            Problem(
                "HYPERPARAMETER_OUT_OF_RANGE",
                name,
                f"Is {value}; it must lie in {bounds}.",
                f"値 {value} は範囲外です。{bounds} の範囲で指定してください。",
            )
        ]


def _needs_evaluations(name: str) -> Problem:
    return Problem(
        "NEEDS_EVALUATIONS",
        name,
        "Compares evaluations; set eval_steps above 0 too.",
        "評価を比べるため、eval_steps も 1 以上にしてください。",
    )


def _needs_stage(name: str, stages: str, stages_ja: str) -> Problem:
    return Problem(
        "NEEDS_DEEPSPEED_STAGE",
        name,
        f"Moves what DeepSpeed shares out; set deepspeed_stage to {stages} too.",
        f"使うには deepspeed_stage を {stages_ja}にしてください。",
    )


def _not_shared_out(name: str, optim: str) -> Problem:
    return Problem(
        "NOT_WITH_DEEPSPEED",
        name,
        f"Is {optim}, which DeepSpeed cannot share out; use adamw_torch_fused, or deepspeed_stage 0.",
        f"{optim} は DeepSpeed では使えません。adamw_torch_fused か deepspeed_stage 0 にしてください。",
    )


def _not_in_4_bits(name: str) -> Problem:
    return Problem(
        "NOT_IN_4_BITS",
        name,
        "Is nvme, which weights in 4 bits cannot be moved to; use cpu, or method lora.",
        "nvme は 4 ビットの重みでは使えません。cpu にするか、method を lora にしてください。",
    )


def _nothing_on_disk(name: str, directory: str) -> Problem:
    return Problem(
        "NOTHING_ON_DISK",
        name,
        f"Is {directory}, but nothing is moved there; set offload_optimizer or offload_param to nvme too.",
        f"{directory} に移すものがありません。offload_optimizer か offload_param も nvme にしてください。",
    )
