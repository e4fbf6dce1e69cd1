"""What a training is put together from: tokenizer, rows, weights with adapters, samples."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from services.training_service.trainer import adapted, attention, head, model
from services.training_service.trainer.data import Prepared, prepare
from services.training_service.trainer.job import JobFile
from services.training_service.trainer.ranks import Ranks
from services.training_service.trainer.reporter import Reporter
from services.training_service.trainer.samples import Sampler
from services.training_service.trainer.zero import Zero

log = logging.getLogger(__name__)


@dataclass
class Parts:
    """They, and where results go."""

    job: JobFile
    output_dir: Path
    ranks: Ranks
    reporter: Reporter
    model: Any
    data: Prepared
    sampler: Sampler
    packing: bool
    zero: Zero | None = None


def load(
    job: JobFile, output_dir: Path, ranks: Ranks, reporter: Reporter, device: torch.device, swaps: Path | None
) -> Parts:
    """Reads, and checks them against each other. Raises TrainingError."""
    path, hp = Path(job.base_model.path), job.hyperparameters
    config = model.check_files(path)
    tokenizer = model.load_tokenizer(path)
    context = model.context_length(config)
    max_length = min(hp.max_length, context)
    if max_length < hp.max_length:
        log.warning("max_length %d is more than the model's context; %d is used", hp.max_length, max_length)
    reporter.progress("loading_model", 0.5, note="weights")
    packs = hp.packing and not hp.neftune_noise_alpha
    small = model.prove_packing_small(path) if packs and hp.deepspeed_stage == 3 else ""
    sharing = Zero.start(hp, ranks, device, path, swaps)
    base = model.load(path, hp, device)
    if hp.deepspeed_stage == 3:
        base.set_attn_implementation(small or attention.for_padded(base.config))
    packing = bool(small) or (
        packs and hp.deepspeed_stage < 3 and bool(model.prove_packing(base, len(tokenizer), device))
    )
    if hp.deepspeed_stage < 3:
        head.prove_chunks(base, device)
    tuned = model.going_on(base, Path(job.adapter), hp) if job.adapter else model.with_adapters(base, hp)
    if not hp.deepspeed_stage:
        adapted.speed_up(tuned)
    reporter.progress("loading_model", 1.0)
    reporter.progress("preparing_data", 0.0)
    data = prepare(job, tokenizer, max_length, lambda share: reporter.progress("preparing_data", share))
    if job.sample_prompts:
        sampler = Sampler.of_job(tokenizer, data.template, context, job.sample_prompts)
    else:
        sampler = Sampler.of_rows(tokenizer, data.template, context, data.held_out_prompts)
    return Parts(job, output_dir, ranks, reporter, tuned, data, sampler, packing, sharing)
