"""Speed, peak memory and share of the arithmetic limit on one GPU, for the shapes of Qwen2.5 with random weights.

    python -m benchmarks.gpu [--shapes 7b 32b] [--methods lora qlora] [--length 4096] [--batch 2] [--steps 12]

The trainer itself, rank 16 on all linear layers, every row of full length; only the weights are made on the device
instead of being read. Beside each speed stand the losses of the first step and of the last, the gradient norm, and how
far the loss before training lies from what transformers' own forward gives for the same weights and rows. The shape
`tiny` runs anywhere, to try this program. A multiplication with its addition counts as two operations; under LoRA a
token takes 4 for each weight (forward, and back to the activations), and attention 3 x 2 x layers x width x length.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Qwen2Config

from services.training_service.trainer import attention, control, events, model, run
from services.training_service.trainer.data import prepare
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.job import JobFile, parse
from services.training_service.trainer.reporter import Reporter

ROOT = Path(__file__).resolve().parents[1]
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "vocab_size": 8192},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28}
    | {"num_key_value_heads": 4, "vocab_size": 152064},
    "32b": {"hidden_size": 5120, "intermediate_size": 27648, "num_hidden_layers": 64, "num_attention_heads": 40}
    | {"num_key_value_heads": 8, "vocab_size": 152064},
}
"""As the models' own config.json says."""
LIMITS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12}
"""bf16 operations a second without sparsity, from the maker's data sheets."""
_HELD_OUT = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["7b", "32b"])
    parser.add_argument("--methods", nargs="+", choices=("lora", "qlora"), default=["lora", "qlora"])
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(options.shapes[0], options.methods[0], options)
        return
    env = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), "HF_HUB_OFFLINE": "1"}
    for shape in options.shapes:
        for method in options.methods:
            sizes = [f"--{name}={getattr(options, name)}" for name in ("length", "batch", "steps")]
            argv = [sys.executable, "-m", "benchmarks.gpu", "--one", "--shapes", shape, "--methods", method, *sizes]
            subprocess.run(
                argv, cwd=ROOT, env=env, check=False
            )  # memory that is not enough for one is told, and the next tried


def _one(shape: str, method: str, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_base(folder / "base", shape, options.length)
        job = _job(folder, method, options)
        model.load = _random_weights
        reporter = Reporter(folder / "output")
        run.run(job, folder / "output", reporter, control.TerminationFlag())
        reporter.close()
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        told = [line.event for line in events.read(folder / "output" / "events.jsonl")]
        values = [event.values for event in told if isinstance(event, events.Metric)]
        plain = _plain_loss(job, options.length)
    _print(shape, method, options.length, values, peak, plain)


def _write_base(folder: Path, shape: str, length: int) -> None:
    """A base model but for its weights."""
    shutil.copytree(ROOT / "samples" / "models" / "tiny-ja", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    Qwen2Config(**SHAPES[shape], **ends, max_position_embeddings=length, tie_word_embeddings=False).save_pretrained(
        folder
    )
    save_file({}, folder / "model.safetensors")


def _job(folder: Path, method: str, options: argparse.Namespace) -> JobFile:
    chance = random.Random(0)  # noqa: S311 - no secret
    signs = "".join((ROOT / "samples" / "data" / "sample_training_data.jsonl").read_text(encoding="utf-8").split())
    for name, count in (("rows", options.batch * options.steps), ("held_out", _HELD_OUT)):
        answers = ["".join(chance.choices(signs, k=3 * options.length)) for _ in range(count)]
        lines = [
            json.dumps({"text": f"質問: 続けてください\n回答: {answer}"}, ensure_ascii=False) for answer in answers
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    hyperparameters = {
        "method": method,
        "max_steps": options.steps,
        "max_length": options.length,
        "per_device_train_batch_size": options.batch,
        "learning_rate": 1e-4,
    }
    return parse(
        {
            "base_model": {"path": str(folder / "base")},
            "dataset": {"path": str(folder / "rows.jsonl")},
            "eval_dataset": {"path": str(folder / "held_out.jsonl")},
            "hyperparameters": hyperparameters,
        }
    )


def _random_weights(path: Path, hyperparameters: Hyperparameters, device: torch.device) -> Any:
    """In place of `model.load`: the same weights at each call, made on the device, in 4 bits for qlora."""
    attention.register()
    torch.manual_seed(0)
    with torch.device(device):
        made = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(path),
            dtype=model.weight_dtype(hyperparameters, device),
            attn_implementation="sdpa",
        )
    made.config.use_cache = False
    if hyperparameters.method == "qlora":
        _quantise(made, device)
    return made


def _quantise(whole: Any, device: torch.device) -> None:
    """Linear layers but the output into NF4 with double quantisation, as bitsandbytes does at loading."""
    import bitsandbytes as bnb

    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    output = whole.get_output_embeddings()
    for parent in list(whole.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, torch.nn.Linear) and layer is not output:
                small = bnb.nn.Linear4bit(
                    layer.in_features, layer.out_features, layer.bias is not None, half, True, "nf4", device="meta"
                )
                weight = layer.weight.data.to("cpu")
                small.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4").to(device)
                small.bias = layer.bias
                setattr(parent, name, small)
    whole.is_loaded_in_4bit = True


def _plain_loss(job: JobFile, length: int) -> float:
    """Held-out loss as transformers alone counts it, row by row, with all logits at once."""
    path = Path(job.base_model.path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    held_out = prepare(job, model.load_tokenizer(path), length, lambda share: None).held_out
    plain = _random_weights(path, job.hyperparameters, device).eval()
    summed, counted = 0.0, 0
    for row in held_out:
        ids = torch.tensor(row.ids[None], dtype=torch.int64, device=device)
        labels = ids.masked_fill(~torch.tensor(row.trained[None], device=device), -100)
        with torch.no_grad():
            summed += float(plain(input_ids=ids, labels=labels).loss) * row.trained_tokens
        counted += row.trained_tokens
    return summed / counted


def _print(shape: str, method: str, length: int, values: list[dict[str, float]], peak_bytes: int, plain: float) -> None:
    steps = [step for step in values if "tokens_per_second" in step]
    rate = statistics.median(step["tokens_per_second"] for step in steps[2:])
    before = next(step["eval_loss"] for step in values if "eval_loss" in step)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    limit = next((limit for name, limit in LIMITS.items() if name in device), None)
    share = f"{rate * _operations(SHAPES[shape], length) / limit:.1%} of the limit" if limit else "no limit known"
    print(
        f"{shape} {method} on {device}: {rate:,.0f} tokens/s, {share}, peak {peak_bytes / 2**30:.1f} GiB; "
        f"loss {steps[0]['loss']:.4f} to {steps[-1]['loss']:.4f}, gradient norm {steps[0]['grad_norm']:.3f}; "
        f"before training {before:.4f}, transformers {plain:.4f} (apart {abs(before / plain - 1):.1e})",
        flush=True,
    )


def _operations(shape: dict[str, int], length: int) -> float:
    """Of a token in a step of LoRA, without the adapters' own."""
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    keys = width * shape["num_key_value_heads"] // shape["num_attention_heads"]
    layer = 2 * width * width + 2 * width * keys + 3 * width * shape["intermediate_size"]
    return 4.0 * (layers * layer + width * shape["vocab_size"]) + 6.0 * layers * width * length


if __name__ == "__main__":
    main()
