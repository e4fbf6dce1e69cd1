"""How far the memory that plans name is from what trainings take.

    python -m benchmarks.plan_memory [--model tiny|small|all] [--steps 2]

Trains each configuration in a process of its own, as workers do, on rows that fill max_length, and prints the peak that
the plan names beside the measured one: on a CPU the process's peak resident set above that of an idle trainer, which
the plan's `overhead` stands for; on a GPU the peak of torch's allocator, without `overhead`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from services.training_service.memory import Load, estimate
from services.training_service.shape import ModelShape
from services.training_service.trainer import events
from services.training_service.trainer.hyperparameters import Hyperparameters

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "samples" / "models" / "tiny-ja"
MIB = 1 << 20
_IDLE = (
    "import resource, services.training_service.trainer.run as _, trl, peft, bitsandbytes;"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
)


@dataclass(frozen=True)
class Case:
    """One training."""

    model: Path
    shape: ModelShape
    hyperparameters: Hyperparameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("tiny", "small", "all"), default="all")
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    idle = 0 if on_gpu else int(subprocess.check_output([sys.executable, "-c", _IDLE], cwd=ROOT))
    print(f"{'GPU ' + torch.cuda.get_device_name() if on_gpu else f'CPU, idle trainer {idle / MIB:.0f} MiB'}")
    print(f"{'model':6} {'method':6} {'rows':>4} {'checkpointing':13} {'planned':>8} {'measured':>9} {'error':>7}")
    errors = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), options.model, options.steps):
            planned, measured = planned_bytes(case, on_gpu), peak_bytes(case, Path(folder)) - idle
            errors.append(abs(planned / measured - 1))
            values = case.hyperparameters
            print(
                f"{case.model.name.removesuffix('-ja'):6} {values.method:6} {values.per_device_train_batch_size:4} "
                f"{'yes' if values.gradient_checkpointing else 'no':13} {planned / MIB:8.0f} {measured / MIB:9.0f} "
                f"{planned / measured - 1:+7.1%}",
                flush=True,
            )
    print(f"mean error without its sign {sum(errors) / len(errors):.1%}, largest {max(errors):.1%}")


def cases(folder: Path, models: str, steps: int) -> Iterator[Case]:
    """Every method, with and without gradient checkpointing, with two sizes of micro-batches."""
    found = [(TINY, 256, (4, 16))] if models in ("tiny", "all") else []
    if models in ("small", "all"):
        found.append((small_model(folder / "small"), 256, (1, 4)))
    for (model, length, batches), method in itertools.product(found, ("full", "lora", "qlora")):
        shape = shape_of(model)
        plain = Hyperparameters(method=method, max_length=length, max_steps=steps, eval_split=0)
        for rows, recomputing in itertools.product(batches, (False, True)):
            values = replace(plain, per_device_train_batch_size=rows, gradient_checkpointing=recomputing)
            yield Case(model, shape, values)


def small_model(folder: Path) -> Path:
    """A random Llama of 52 million parameters, whose vocabulary is that of Llama 2."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for file in TINY.iterdir():
        if file.name.startswith(("tokenizer", "chat_template", "aift")):
            shutil.copy(file, folder)
    return folder


def shape_of(model: Path) -> ModelShape:
    """The numbers that plans know of a model."""
    made = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    config = made.config
    return ModelShape(
        architecture=config.architectures[0],
        parameters=made.num_parameters(),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        layers=config.num_hidden_layers,
        attention_heads=config.num_attention_heads,
        key_value_heads=config.num_key_value_heads,
        head_size=config.hidden_size // config.num_attention_heads,
        vocabulary_size=config.vocab_size,
        max_context_tokens=config.max_position_embeddings,
        tied_embeddings=config.tie_word_embeddings,
        dtype="bfloat16",
    )


def planned_bytes(case: Case, on_gpu: bool) -> int:
    """The sum of the plan's parts, without what stands for an idle trainer."""
    values = case.hyperparameters
    load = Load(rows=values.per_device_train_batch_size, row_tokens=values.max_length, processes=1, on_gpu=on_gpu)
    return sum(size for part, size in estimate(case.shape, values, load).items() if part != "overhead")


def peak_bytes(case: Case, folder: Path) -> int:
    """The most that the trainer tells to have held while it trained."""
    job, output = folder / "job.json", folder / "output"
    rows = folder / "rows.jsonl"
    text = "質問: " + "東京の本社はどこですか。" * 400 + "\n回答: " + "本社は東京です。" * 400
    rows.write_text("\n".join(json.dumps({"text": text}) for _ in range(64)), encoding="utf-8")
    description: dict[str, Any] = {
        "base_model": {"path": str(case.model)},
        "dataset": {"path": str(rows)},
        "hyperparameters": {**vars(case.hyperparameters), "objective": "pretraining"},
    }
    job.write_text(json.dumps(description), encoding="utf-8")
    argv = [sys.executable, "-m", "services.training_service.trainer", str(job), str(output)]
    with (folder / "log").open("wb") as log:
        if subprocess.run(argv, cwd=ROOT, stdout=log, stderr=log, check=False).returncode:
            raise SystemExit((folder / "log").read_text(errors="replace")[-3000:])
    told = [line.event for line in events.read(output / "events.jsonl")]
    shutil.rmtree(output)
    return int(max(e.values["memory_bytes"] for e in told if isinstance(e, events.Metric) and "loss" in e.values))


if __name__ == "__main__":
    main()
