"""Each architecture that is named learns by each method, and what is exported gives the same logits elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel

from services.text.rows import Form
from services.text.template import for_rows
from services.training_service.trainer import adapted, attention, export, head, job, masks, model
from services.training_service.trainer.batches import flat, padded
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.loss import summed_loss
from services.training_service.trainer.rows import TokenRow

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 96,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
CONFIGS = {
    "gpt2": transformers.GPT2Config(
        vocab_size=96,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "gpt_neox": transformers.GPTNeoXConfig(**SIZES),
    "stablelm": transformers.StableLmConfig(**GROUPED),
    "llama": transformers.LlamaConfig(**GROUPED),
    "qwen2": transformers.Qwen2Config(**GROUPED),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=8),
    "gemma": transformers.GemmaConfig(**GROUPED, head_dim=8),
    "gemma2": transformers.Gemma2Config(**GROUPED, head_dim=8, attn_logit_softcapping=2.0),
    "gemma3": transformers.Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=8),
}
MORE = ("qlora", "full")
CPU = torch.device("cpu")


def make_rows() -> list[TokenRow]:
    numbers = np.random.default_rng(1)
    lengths = (17, 3, 30, 8)
    return [TokenRow(numbers.integers(3, 96, n).astype(np.int32), numbers.random(n) < 0.7, n) for n in lengths]


def write_base(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(CONFIGS[name])
    for parameter in made.parameters():  # so that rows which see each other, or a cap left out, change the loss
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    made.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, "lora") for name in CONFIGS), *((name, m) for name in ("gpt2", "llama", "gemma2") for m in MORE)],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_it_learns_and_its_result_stands_alone(name: str, method: Any, tmp_path: Path) -> None:
    base = write_base(name, tmp_path / "base")
    hp = Hyperparameters(method=method, lora_r=4, learning_rate=1e-2)
    rows = make_rows()
    loaded = model.load(base, hp, CPU)
    chosen = model.prove_packing(loaded, 96, CPU)
    assert chosen
    assert (chosen == attention.NAME) == (type(loaded).__name__ not in masks.BLOCK_MASKED), "as plans count"
    assert head.prove_chunks(loaded, CPU)
    tuned = model.with_adapters(loaded, hp)
    assert (adapted.speed_up(tuned) > 0) == (method == "lora" and name != "gpt2")
    tuned.train()
    trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3 if method == "full" else 2e-2)
    losses = []
    for _ in range(6):
        packed = summed_loss(tuned, flat(rows))
        apart = float(summed_loss(tuned, padded(rows)).detach())
        losses.append(float(packed.detach()))
        assert losses[-1] == pytest.approx(apart, rel=1e-4)
        optimizer.zero_grad()
        packed.backward()
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]
    tuned.eval()
    ids = torch.from_numpy(rows[2].ids[None].astype(np.int64))
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    with torch.no_grad():
        expected = tuned(**asked).logits
        file = job.JobFile(base_model=job.BaseModel(path=str(base)), dataset=job.Rows(path=""), hyperparameters=hp)
        folder = export.export(tmp_path / "out", file, tuned, for_rows(Form.TEXT, None), {}, 6, {})
        if method == "full":
            again = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
        else:
            fresh = model.load(base, hp, CPU)
            again = PeftModel.from_pretrained(fresh, folder).eval()
        torch.testing.assert_close(again(**asked).logits, expected, rtol=1e-3, atol=1e-4)
