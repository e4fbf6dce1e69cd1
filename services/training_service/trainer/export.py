"""The result: OUTPUT_DIR/model with weights, tokenizer, template and where it all came from. Appears whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from services.text.template import Template
from services.training_service.trainer import attention
from services.training_service.trainer.job import JobFile

TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
    "*.model",
)
_LIBRARIES = ("torch", "transformers", "peft")


def export(
    output_dir: Path,
    job: JobFile,
    model: Any,
    template: Template,
    metrics: Mapping[str, float],
    steps: int,
    weights: Mapping[str, torch.Tensor],
) -> Path:
    """Writes the model and returns its directory. Adapters in the precision they were trained in, full weights in the
    base model's. `weights` are all that was trained, whole, where the model holds only this rank's part; else empty."""
    target, partial = output_dir / "model", output_dir / ".model.partial"
    for path in (target, partial):
        shutil.rmtree(path, ignore_errors=True)
    partial.mkdir(parents=True)
    adapter = job.hyperparameters.method != "full"
    if adapter:
        _save_adapter(model, partial, job, weights)
    else:
        _save_full(model, partial, Path(job.base_model.path), weights)
    for pattern in TOKENIZER_FILES:
        for file in sorted(Path(job.base_model.path).glob(pattern)):
            shutil.copyfile(file, partial / file.name)
    (partial / "template.json").write_text(template.to_json() + "\n", encoding="utf-8")
    facts = _facts(job, adapter, metrics, steps)
    (partial / "aift.json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    partial.replace(target)
    return target


def _save_adapter(model: Any, folder: Path, job: JobFile, weights: Mapping[str, torch.Tensor]) -> None:
    for config in model.peft_config.values():
        config.base_model_name_or_path = job.base_model.name  # else the directory of this machine
    given = {"state_dict": dict(weights)} if weights else {}
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False, **given)
    (folder / "README.md").unlink(missing_ok=True)  # peft's; the registry writes the card


def _save_full(model: Any, folder: Path, base: Path, weights: Mapping[str, torch.Tensor]) -> None:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype = getattr(torch, name)
    given = {"state_dict": {key: tensor.to(dtype) for key, tensor in weights.items()}} if weights else {}
    if not weights:
        model.to(dtype)
    model.config.use_cache = True
    model.config.name_or_path = ""
    model.set_attn_implementation(attention.for_padded(model.config))
    model.save_pretrained(folder, safe_serialization=True, **given)


def _facts(job: JobFile, adapter: bool, metrics: Mapping[str, float], steps: int) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "adapter" if adapter else "full",
        "base_model": job.base_model.name,
        "base_model_digest": job.base_model.digest,
        "start_from": job.start_from,
        "dataset": job.dataset.name,
        "dataset_digest": job.dataset.digest,
        "training_job": job.training_job,
        "hyperparameters": asdict(job.hyperparameters),
        "steps": steps,
        "metrics": dict(metrics),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
