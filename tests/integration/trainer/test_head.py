"""The output layer taken in chunks: losses and gradients as with all logits, memory far below theirs."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from services.training_service.trainer import head, logits
from services.training_service.trainer.batches import padded
from services.training_service.trainer.loss import summed_loss
from services.training_service.trainer.rows import TokenRow

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "initializer_range": 0.5}
CONFIGS = {
    "llama": transformers.LlamaConfig(**GROUPED),
    "tied": transformers.Qwen2Config(**GROUPED, tie_word_embeddings=True),
    "qwen3": transformers.Qwen3Config(**GROUPED, head_dim=8),
    "capped": transformers.Gemma2Config(**GROUPED, head_dim=8, final_logit_softcapping=5.0),
    "gemma3": transformers.Gemma3TextConfig(**GROUPED, head_dim=8, final_logit_softcapping=3.0),
    "scaled": transformers.CohereConfig(**GROUPED, logit_scale=0.3),
    "divided": transformers.GraniteConfig(**GROUPED, logits_scaling=3.0),
    "bias": transformers.PhiConfig(**GROUPED),
    "stablelm": transformers.StableLmConfig(**GROUPED),
    "gpt_neox": transformers.GPTNeoXConfig(**SIZES),
    "gpt2": transformers.GPT2Config(vocab_size=96, n_positions=64, n_embd=32, n_layer=1, n_head=4),
}
CPU = torch.device("cpu")


def make_rows() -> list[TokenRow]:
    numbers = np.random.default_rng(1)
    return [
        TokenRow(numbers.integers(0, 96, n).astype(np.int32), numbers.random(n) < 0.7, characters=n)
        for n in (17, 3, 30, 8)
    ]


def loss_and_gradients(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = summed_loss(model, padded(make_rows()))
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Model has `tie_word")
def test_chunks_give_the_loss_and_gradients_of_all_logits(
    name: str, adapted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="eager").eval()
    if adapted:
        target = "embed_out" if hasattr(model, "embed_out") else "lm_head"
        model = get_peft_model(model, LoraConfig(r=4, target_modules=[target], init_lora_weights=False))
    plain = loss_and_gradients(model)
    assert head.prove_chunks(model, CPU)
    monkeypatch.setattr(logits, "AT_ONCE", 7 * 96)
    chunked = loss_and_gradients(model)
    assert chunked[0] == pytest.approx(plain[0], rel=1e-6)
    assert chunked[1].keys() == plain[1].keys()
    for parameter, gradient in plain[1].items():
        torch.testing.assert_close(chunked[1][parameter], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "capped", "scaled", "gpt2"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Model has `tie_word")
def test_models_in_half_precision_are_taken_apart(name: str, dtype: torch.dtype) -> None:
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="eager").to(dtype)
    assert head.prove_chunks(model.eval(), CPU)


def test_a_model_with_logits_of_its_own_keeps_them_whole() -> None:
    class Own(transformers.LlamaForCausalLM):
        def forward(self, *args: Any, **options: Any) -> Any:
            made = super().forward(*args, **options)
            made.logits = made.logits + 0.5
            return made

    model = Own(CONFIGS["llama"]).eval()
    assert not head.prove_chunks(model, CPU)
    assert model(input_ids=torch.arange(4)[None]).logits.shape == (1, 4, 96)


class Peak(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.most = 0
        self._known = set[weakref.ref[Any]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        size = storage.nbytes()

        def gone(reference: weakref.ref[Any]) -> None:
            self._known.discard(reference)
            self.alive -= size

        reference = weakref.ref(storage, gone)
        if reference not in self._known:
            self._known.add(reference)
            self.alive += size
            self.most = max(self.most, self.alive)


def test_memory_stays_far_below_a_large_vocabularys_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary, length = 150_000, 256
    monkeypatch.setattr(logits, "AT_ONCE", 2**21)
    sizes = GROUPED | {"vocab_size": vocabulary, "hidden_size": 16, "max_position_embeddings": length}
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**sizes)).requires_grad_(False)
    model.model.layers[0].requires_grad_(True)
    ids = np.random.default_rng(0).integers(0, vocabulary, length).astype(np.int32)
    whole = 4 * vocabulary * (length - 1)
    assert head.prove_chunks(model, CPU)
    with Peak() as peak:
        summed_loss(model, padded([TokenRow(ids, np.ones(length, np.bool_), 0)])).backward()
    assert 4 * 2**21 < peak.most < whole / 3
