"""The peer of benchmarks.training: TRL's SFTTrainer as its documentation shows it. Prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from services.training_service.trainer.data import prepare
from services.training_service.trainer.evaluate import measure
from services.training_service.trainer.job import parse
from services.training_service.trainer.ranks import Ranks


class Clock(TrainerCallback):  # type: ignore[misc]
    """Times the steps."""

    def __init__(self) -> None:
        self.began, self.seconds = (0.0, 0.0), (0.0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began = time.monotonic(), time.process_time()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = time.monotonic() - self.began[0], time.process_time() - self.began[1]


def rows(path: Path) -> Dataset:
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    split = [text.partition("\n回答: ") for text in texts]
    return Dataset.from_list([{"prompt": p + marker, "completion": c} for p, marker, c in split])


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    path, hp = job["base_model"]["path"], job["hyperparameters"]
    clock = Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(path),
        train_dataset=rows(Path(job["dataset"]["path"])),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[clock],
        args=SFTConfig(
            output_dir=f"{sys.argv[1]}.bare",
            max_steps=hp["max_steps"],
            learning_rate=hp["learning_rate"],
            lr_scheduler_type="linear",
            warmup_steps=-(-3 * hp["max_steps"] // 100),
            per_device_train_batch_size=4,
            max_length=512,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            # TRL's defaults for GPUs; both would only slow it down here.
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
        ),
    )
    trainer.train()
    tokens = int(trainer._total_train_tokens)  # noqa: SLF001 - TRL's own count without padding
    seconds, cpu_seconds = clock.seconds
    told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "tokens": tokens, "eval_loss": held_out_loss(trainer, job)}
    print(json.dumps(told))


def held_out_loss(trainer: SFTTrainer, job: dict[str, Any]) -> float:
    """By the same yardstick as ours."""
    tokenizer = AutoTokenizer.from_pretrained(job["base_model"]["path"])
    held_out = prepare(parse(job), tokenizer, 512, lambda share: None).held_out
    measured = measure(trainer.model, held_out, tokens=2048, packing=False, ranks=Ranks(), told=lambda share: None)
    return measured["eval_loss"]


if __name__ == "__main__":
    main()
