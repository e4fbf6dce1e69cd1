"""The peer of benchmarks.training: TRL's SFTTrainer as its documentation shows it.

Reads one line of JSON a training, {"job": path, "gradient_checkpointing": bool}, and answers each with one; "{}" says
that it is ready. Rows come in the order of the job's plan, and the adapters to start from are made where they are missing.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from benchmarks.training import LAST
from services.training_service.trainer.data import Prepared, prepare
from services.training_service.trainer.evaluate import measure
from services.training_service.trainer.job import JobFile, parse
from services.training_service.trainer.plan import Plan
from services.training_service.trainer.ranks import Ranks


class Clock(TrainerCallback):  # type: ignore[misc]
    """Times the steps after the first."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.marks: list[tuple[float, float, int]] = []
        """Wall clock, processor seconds and tokens, after the first step and after the last."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in (1, state.max_steps):
            # TRL's own count without padding.
            tokens = int(self.trainer._total_train_tokens)  # noqa: SLF001
            self.marks.append((time.monotonic(), time.process_time(), tokens))


def main() -> None:
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        job = parse(json.loads(Path(asked["job"]).read_text(encoding="utf-8")))
        torch.set_num_threads(job.threads)
        print(json.dumps(train(job, f"{asked['job']}.bare", asked["gradient_checkpointing"])), flush=True)


def rows(job: JobFile, prepared: Prepared) -> Dataset:
    """The rows of all steps, one after the other."""
    hp, lines = job.hyperparameters, Path(job.dataset.path).read_text(encoding="utf-8").splitlines()
    split = [json.loads(line)["text"].partition("\n回答: ") for line in lines]
    assert len(split) == len(prepared.train), "rows were left out"
    lengths, trained = [row.tokens for row in prepared.train], [row.trained_tokens for row in prepared.train]
    plan = Plan(lengths, trained, hp, 1, hp.max_length)
    order = [split[row] for step in range(plan.total_steps) for row in plan.rows(step)]
    return Dataset.from_list([{"prompt": p + marker, "completion": c} for p, marker, c in order])


def adapted(job: JobFile) -> Any:
    """The base model with the adapters to start from."""
    path = job.base_model.path
    if not Path(job.adapter).exists():
        set_seed(job.hyperparameters.seed)
        config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        fresh = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        get_peft_model(fresh, config).save_pretrained(job.adapter)
    base = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return PeftModel.from_pretrained(base, job.adapter, is_trainable=True)


def train(job: JobFile, output: str, checkpointing: bool) -> dict[str, Any]:
    """The fields of benchmarks.training.Result."""
    hp, clock = job.hyperparameters, Clock()
    tokenizer = AutoTokenizer.from_pretrained(job.base_model.path)
    prepared = prepare(job, tokenizer, hp.max_length, lambda share: None)
    trainer = SFTTrainer(
        model=adapted(job),
        processing_class=tokenizer,
        train_dataset=rows(job, prepared),
        callbacks=[clock],
        args=SFTConfig(
            output_dir=output,
            max_steps=hp.max_steps,
            learning_rate=hp.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=-(-3 * hp.max_steps // 100),
            per_device_train_batch_size=hp.per_device_train_batch_size,
            train_sampling_strategy="sequential",
            max_length=hp.max_length,
            gradient_checkpointing=checkpointing,
            # Both sides tell every step and count in fp32; TRL's bf16 would only slow it down on these processors.
            logging_steps=1,
            bf16=False,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
        ),
    )
    clock.trainer = trainer
    trainer.train()
    (began, cpu_began, before), (ended, cpu_ended, tokens) = clock.marks
    told = [entry for entry in trainer.state.log_history if "loss" in entry]
    measured = measure(
        trainer.model, prepared.held_out, hp, tokens=2048, packing=False, ranks=Ranks(), told=lambda share: None
    )
    return {
        "tokens_per_second": (tokens - before) / (ended - began),
        "tokens_per_cpu_second": (tokens - before) / (cpu_ended - cpu_began),
        "tokens": tokens,
        "loss": statistics.fmean(float(entry["loss"]) for entry in told[-LAST:]),
        "grad_norm": statistics.fmean(float(entry["grad_norm"]) for entry in told[-LAST:]),
        "eval_loss": measured["eval_loss"],  # by the same yardstick as ours
        "losses": [float(entry["loss"]) for entry in told],
    }


if __name__ == "__main__":
    main()
