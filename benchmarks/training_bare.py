"""The peer of benchmarks.training: TRL's SFTTrainer as its documentation shows it.

Reads one line of JSON a training, {"seed": int, "gradient_checkpointing": bool}, and answers each with one; "{}" says
that it is ready.
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
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from benchmarks.training import LAST
from services.training_service.trainer.data import prepare
from services.training_service.trainer.evaluate import measure
from services.training_service.trainer.job import parse
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


def rows(path: Path) -> Dataset:
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    split = [text.partition("\n回答: ") for text in texts]
    return Dataset.from_list([{"prompt": p + marker, "completion": c} for p, marker, c in split])


def main() -> None:
    path = sys.argv[1]
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(train(job, f"{path}.bare", asked["seed"], asked["gradient_checkpointing"])), flush=True)


def train(job: dict[str, Any], output: str, seed: int, checkpointing: bool) -> dict[str, float]:
    """The fields of benchmarks.training.Result."""
    path, hp = job["base_model"]["path"], job["hyperparameters"]
    clock = Clock()
    set_seed(seed)  # of the adapters, which are started before the trainer sets it
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(path),
        train_dataset=rows(Path(job["dataset"]["path"])),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[clock],
        args=SFTConfig(
            output_dir=output,
            seed=seed,
            max_steps=hp["max_steps"],
            learning_rate=hp["learning_rate"],
            lr_scheduler_type="linear",
            warmup_steps=-(-3 * hp["max_steps"] // 100),
            per_device_train_batch_size=hp["per_device_train_batch_size"],
            max_length=512,
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
    last = [entry for entry in trainer.state.log_history if "loss" in entry][-LAST:]
    return {
        "tokens_per_second": (tokens - before) / (ended - began),
        "tokens_per_cpu_second": (tokens - before) / (cpu_ended - cpu_began),
        "tokens": tokens,
        "loss": statistics.fmean(float(entry["loss"]) for entry in last),
        "grad_norm": statistics.fmean(float(entry["grad_norm"]) for entry in last),
        "eval_loss": held_out_loss(trainer, job),
    }


def held_out_loss(trainer: SFTTrainer, job: dict[str, Any]) -> float:
    """By the same yardstick as ours."""
    tokenizer = AutoTokenizer.from_pretrained(job["base_model"]["path"])
    description = parse(job)
    held_out = prepare(description, tokenizer, 512, lambda share: None).held_out
    hp = description.hyperparameters
    measured = measure(trainer.model, held_out, hp, tokens=2048, packing=False, ranks=Ranks(), told=lambda share: None)
    return measured["eval_loss"]


if __name__ == "__main__":
    main()
