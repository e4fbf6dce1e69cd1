"""Our hyperparameters and plan in the words of transformers' Trainer."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.plan import Plan
from services.training_service.trainer.zero import Zero


def arguments(
    hyperparameters: Hyperparameters, plan: Plan, output_dir: Path, device: torch.device, zero: Zero | None
) -> TrainingArguments:
    """What transformers needs to know; everything that we do ourselves is switched off."""
    hp, cuda = hyperparameters, device.type == "cuda"
    bf16 = cuda and torch.cuda.is_bf16_supported()
    return TrainingArguments(
        output_dir=str(output_dir),
        max_steps=plan.total_steps,
        per_device_train_batch_size=hp.per_device_train_batch_size,
        gradient_accumulation_steps=plan.micro_batches,
        learning_rate=hp.learning_rate,
        lr_scheduler_type=hp.lr_scheduler_type,
        warmup_steps=hp.warmup_steps or math.ceil(hp.warmup_ratio * plan.total_steps),
        weight_decay=hp.weight_decay,
        max_grad_norm=hp.max_grad_norm,
        neftune_noise_alpha=hp.neftune_noise_alpha or None,
        seed=hp.seed,
        optim=hp.optim,
        bf16=bf16,
        fp16=cuda and not bf16,
        use_cpu=not cuda and zero is None,  # asked for, accelerate takes DeepSpeed for GPUs only
        deepspeed=zero.config(plan.micro_batches) if zero else None,
        accelerator_config={"use_configured_state": zero is not None},
        activation_checkpointing=hp.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if hp.gradient_checkpointing else None,
        dataloader_num_workers=hp.dataloader_num_workers,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        logging_steps=hp.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
