"""Weights in memory: one base (or full) model and any number of adapters on it, by digest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache, DynamicLayer

# What PEFT calls the rows of a mixed batch that no adapter touches.
_BASE = "__base__"


class Weights:
    """A model, its tokenizer and its adapters. Reads safetensors and JSON from local directories only."""

    def __init__(self, directory: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=_dtype(self.device),
            attn_implementation="sdpa",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        ).to(self.device)
        self._model.eval()
        self.vocabulary_size: int = self._model.get_output_embeddings().weight.shape[0]
        self.context_tokens: int = _context_tokens(self._model.config)
        self._stop_tokens = frozenset(_stop_tokens(self._model, self.tokenizer))
        self._exclusive: set[str] = set()
        self._active: str | None = None
        self.cache_can_merge = all(type(layer) is DynamicLayer for layer in self._new_cache().layers)

    def load_adapter(self, digest: str, directory: Path) -> None:
        """Reads an adapter.

        Raises:
            ValueError, OSError, RuntimeError: the files do not hold an adapter that fits the model.
        """
        name = _adapter_name(digest)
        if isinstance(self._model, PeftModel):
            self._model.load_adapter(directory, name, is_trainable=False, use_safetensors=True)
        else:
            self._model = PeftModel.from_pretrained(self._model, directory, name, is_trainable=False)
        self._model.eval()
        self._active = None
        config = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
        if config.get("use_dora"):
            self._exclusive.add(digest)  # PEFT cannot mix DoRA rows with others

    def unload_adapter(self, digest: str) -> None:
        """Forgets an adapter; without any the wrapper goes too."""
        if not isinstance(self._model, PeftModel):
            return
        if len(self._model.peft_config) == 1:
            self._model = self._model.unload()
        else:
            self._model.delete_adapter(_adapter_name(digest))
        self._exclusive.discard(digest)
        self._active = None

    def stop_tokens_with(self, texts: Sequence[str]) -> frozenset[int]:
        """The tokens that end an answer: the model's own, and those of a template, given as text."""
        return self._stop_tokens | frozenset(self.tokenizer.convert_tokens_to_ids(list(texts)))

    def lane(self, adapter: str) -> str:
        """Rows of one lane may share a batch: "" for all that can be mixed, else the adapter's own."""
        return adapter if adapter in self._exclusive else ""

    def forward(
        self, ids: Tensor, mask: Tensor, *, positions: Tensor, cache: Any, adapters: Sequence[str]
    ) -> tuple[Tensor, Any]:
        """One pass.

        Args:
            ids: [rows, new tokens], padded on the left.
            mask: [rows, all tokens], 1 where a token stands.
            positions: [rows, new tokens].
            cache: what the last pass returned, or None.
            adapters: one digest a row, "" for none.

        Returns:
            Logits of the last token, [rows, vocabulary], and the cache.
        """
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache if cache is not None else self._new_cache(),
            "use_cache": True,
            "logits_to_keep": 1,
        }
        output = self._call(inputs, adapters)
        return output.logits[:, -1], output.past_key_values

    def _call(self, inputs: dict[str, Any], adapters: Sequence[str]) -> Any:
        if not isinstance(self._model, PeftModel):
            return self._model(**inputs)
        used = set(adapters)
        if len(used) == 1:
            self._activate(used.pop())
            return self._model(**inputs)
        self._activate(next(digest for digest in adapters if digest))
        return self._model(**inputs, adapter_names=[_adapter_name(digest) if digest else _BASE for digest in adapters])

    def _activate(self, digest: str) -> None:
        """Makes one adapter, or none, act on all rows; walks over all layers, so only where it changes."""
        if digest == self._active:
            return
        if digest:
            self._model.base_model.enable_adapter_layers()
            self._model.set_adapter(_adapter_name(digest), inference_mode=True)
        else:
            self._model.base_model.disable_adapter_layers()
        self._active = digest

    def _new_cache(self) -> Any:
        return DynamicCache(config=self._model.config)


def _adapter_name(digest: str) -> str:
    return f"sha256_{digest}"


def _dtype(device: torch.device) -> torch.dtype:
    """bf16 or fp16 as the GPU has it; fp32 on a processor, where it is faster."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _context_tokens(config: Any) -> int:
    return int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 1 << 20)


def _stop_tokens(model: Any, tokenizer: Any) -> set[int]:
    listed = model.generation_config.eos_token_id
    stop = set(listed) if isinstance(listed, list) else {listed}
    return {int(token) for token in stop | {tokenizer.eos_token_id} if token is not None}
