"""What only a GPU shows: its attention kernels, half precision, and 4-bit weights on the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from services.training_service.trainer import attention, events
from services.training_service.trainer.batches import Batch, flat, on_device, padded
from tests.integration.trainer.test_packing import CONFIGS, loss_and_gradients, make_rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ROOT = Path(__file__).resolve().parents[2]
GPU = torch.device("cuda")


@pytest.mark.parametrize("name", ["llama", "qwen3", "sliding", "gemma"])
def test_packed_equals_one_by_one_in_half_precision(name: str) -> None:
    torch.manual_seed(0)
    attention.register()
    model: Any = transformers.AutoModelForCausalLM.from_config(
        CONFIGS[name], attn_implementation="sdpa", dtype=torch.bfloat16
    )
    model = model.eval().to(GPU)
    rows = make_rows()

    def learnt(batches: list[Batch]) -> tuple[float, torch.Tensor]:
        return loss_and_gradients(model, [on_device(batch, GPU) for batch in batches])

    loss, gradients = learnt([padded([row]) for row in rows])
    for kernel in attention.for_packed(model.config, GPU):
        model.set_attn_implementation(kernel)
        packed, packed_gradients = learnt([flat(rows)])
        assert packed == pytest.approx(loss, rel=2e-2), kernel
        likeness = torch.nn.functional.cosine_similarity(packed_gradients.float(), gradients.float(), dim=0)
        assert float(likeness) > 0.99, kernel


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_the_trainer_learns(method: str, tmp_path: Path) -> None:
    job = {
        "base_model": {"path": str(ROOT / "samples" / "models" / "tiny-ja")},
        "dataset": {"path": str(ROOT / "samples" / "data" / "sample_training_data.jsonl")},
        "hyperparameters": {"method": method, "max_steps": 40, "learning_rate": 2e-3 if method != "full" else 3e-4},
    }
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    argv = [sys.executable, "-m", "services.training_service.trainer", str(tmp_path / "job.json"), str(tmp_path)]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=240, env=os.environ, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    told = [line.event for line in events.read(tmp_path / "events.jsonl")]
    finished = told[-1]
    assert isinstance(finished, events.Finished)
    assert finished.metrics["eval_loss"] < finished.metrics["base_eval_loss"] - 1
