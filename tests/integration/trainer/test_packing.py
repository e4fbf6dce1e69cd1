"""Rows laid end to end train as they do one by one: equal loss and gradients, on every architecture that we name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from services.training_service.trainer import attention
from services.training_service.trainer.batches import Batch, flat, padded
from services.training_service.trainer.loss import summed_loss
from services.training_service.trainer.model import prove_packing
from services.training_service.trainer.rows import TokenRow

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
CONFIGS = {
    "llama": transformers.LlamaConfig(**GROUPED),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=8),
    "sliding": transformers.MistralConfig(**GROUPED, sliding_window=4),
    "gemma": transformers.GemmaConfig(**GROUPED, head_dim=8),
    "stablelm": transformers.StableLmConfig(**GROUPED),
    "gpt_neox": transformers.GPTNeoXConfig(**SIZES),
    "gpt2": transformers.GPT2Config(vocab_size=96, n_positions=64, n_embd=32, n_layer=2, n_head=4),
}
CPU = torch.device("cpu")


def make_rows() -> list[TokenRow]:
    numbers = np.random.default_rng(1)
    lengths = (17, 3, 30, 8, 1)
    return [
        TokenRow(numbers.integers(0, 96, n).astype(np.int32), numbers.random(n) < 0.5, characters=n) for n in lengths
    ]


def loss_and_gradients(model: Any, batches: list[Batch]) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    losses = [summed_loss(model, batch) for batch in batches]
    torch.stack(losses).sum().backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(torch.stack(losses).detach().sum()), torch.cat(gradients)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_packed_equals_one_by_one(name: str) -> None:
    torch.manual_seed(0)
    attention.register()
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="sdpa").eval()
    rows = make_rows()
    alone = loss_and_gradients(model, [padded([row]) for row in rows])
    together = loss_and_gradients(model, [padded(rows)])
    assert prove_packing(model, 96, CPU)
    # StableLM's layers do not hand the layout down.
    assert model.config._attn_implementation == ("sdpa" if name == "stablelm" else attention.NAME)
    packed = loss_and_gradients(model, [flat(rows)])
    for loss, gradients in (together, packed):
        assert loss == pytest.approx(alone[0], rel=1e-5)
        torch.testing.assert_close(gradients, alone[1], rtol=1e-4, atol=1e-5)


def test_the_loss_is_trls() -> None:
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]).eval()
    batch = padded(make_rows()[:4])
    labels = torch.full_like(batch["input_ids"], -100)
    labels[:, 1:][batch["logits_to_keep"][:, :-1]] = batch["targets"]
    ours = summed_loss(model, batch)
    add_fused_lm_head(model)
    theirs = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels, fused_lm_head=True
    )
    torch.testing.assert_close(ours, -theirs.log_probs.sum())


def test_a_micro_batch_without_rows_trains_nothing() -> None:
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"])
    loss, gradients = loss_and_gradients(model, [flat([])])
    assert loss == 0
    assert not gradients.any()
