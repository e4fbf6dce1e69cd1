"""LoRA layers counted in one go give what peft's own give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from services.training_service.trainer import adapted


def outcome(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradients of a loss of theirs."""
    model.zero_grad()
    logits = model(input_ids=torch.arange(12).view(2, 6)).logits
    logits.square().mean().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def adapters(base_model: Path, **options: Any) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32)
    targets = ["q_proj", "v_proj", "down_proj"]
    return get_peft_model(model, LoraConfig(r=4, target_modules=targets, init_lora_weights=False, **options))


def test_logits_and_gradients_are_pefts(base_model: Path) -> None:
    model = adapters(base_model, use_rslora=True)
    logits, gradients = outcome(model)
    assert adapted.speed_up(model) == 6
    ours, own = outcome(model)
    torch.testing.assert_close(ours, logits, rtol=1e-4, atol=1e-5)
    assert own.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-4, atol=1e-6)
    with model.disable_adapter():
        base = model(input_ids=torch.arange(12).view(2, 6)).logits
    assert not torch.allclose(base, ours)


def test_other_layers_are_left_to_peft(base_model: Path) -> None:
    assert adapted.speed_up(adapters(base_model, use_dora=True)) == 0
    assert adapted.speed_up(adapters(base_model, lora_dropout=0.1)) == 0
    assert adapted.speed_up(adapters(base_model).to(torch.bfloat16)) == 0
