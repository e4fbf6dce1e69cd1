"""Model folders as dictionaries of path to bytes, small enough to be written by hand."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN, INNER, VOCABULARY, LAYERS = 8, 16, 32, 2
_SIZES = {"F32": 4, "BF16": 2, "F16": 2, "U8": 1, "I64": 8}


def safetensors(tensors: Mapping[str, Sequence[int]], *, dtype: str = "BF16", fill: int = 1) -> bytes:
    """A file with tensors of these shapes, all of whose bytes are `fill`."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, shape in tensors.items():
        size = _SIZES[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes([fill]) * place


def llama_tensors() -> dict[str, list[int]]:
    """Names and shapes of a Llama with tied embeddings."""
    tensors = {"model.embed_tokens.weight": [VOCABULARY, HIDDEN], "model.norm.weight": [HIDDEN]}
    for layer in range(LAYERS):
        place = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{place}.self_attn.{name}.weight"] = [HIDDEN, HIDDEN]
        tensors[f"{place}.mlp.gate_proj.weight"] = [INNER, HIDDEN]
        tensors[f"{place}.mlp.up_proj.weight"] = [INNER, HIDDEN]
        tensors[f"{place}.mlp.down_proj.weight"] = [HIDDEN, INNER]
    return tensors


def elements(tensors: Mapping[str, Sequence[int]]) -> int:
    """Numbers in all of them."""
    total = 0
    for shape in tensors.values():
        count = 1
        for side in shape:
            count *= side
        total += count
    return total


def llama_config(**changed: Any) -> dict[str, Any]:
    """config.json of the same."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
    }
    return {**config, **changed}


def llama(fill: int = 1, **changed: Any) -> dict[str, bytes]:
    """A whole folder: config, weights, tokenizer, card, aift.json."""
    card = "---\nlicense: apache-2.0\nlanguage: ja\n---\n# 小さなモデル\n"
    facts = {"recommended": {"learning_rate": 0.002, "num_train_epochs": 3, "method": "lora"}}
    return {
        "config.json": json.dumps(llama_config(**changed)).encode(),
        "model.safetensors": safetensors(llama_tensors(), fill=fill),
        "tokenizer.json": b'{"version": "1.0"}',
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
        "README.md": card.encode(),
        "aift.json": json.dumps(facts).encode(),
    }


def adapter(*, rank: int = 4, hidden: int = HIDDEN, base: str = "/cache/abc", fill: int = 2) -> dict[str, bytes]:
    """A PEFT adapter on q_proj and v_proj of such a Llama."""
    tensors = {}
    for layer in range(LAYERS):
        for name in ("q_proj", "v_proj"):
            place = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{place}.lora_A.weight"] = [rank, hidden]
            tensors[f"{place}.lora_B.weight"] = [hidden, rank]
    config = {"peft_type": "LORA", "r": rank, "base_model_name_or_path": base, "target_modules": ["q_proj", "v_proj"]}
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": safetensors(tensors, dtype="F32", fill=fill),
        "template.json": json.dumps({"form": "text", "prompt_marker": "質問: "}, ensure_ascii=False).encode(),
    }


def sharded(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same folder with its weights in two files and an index."""
    tensors = llama_tensors()
    names = sorted(tensors)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    rest = {path: data for path, data in files.items() if path != "model.safetensors"}
    weight_map = {}
    for number, half in enumerate(halves, 1):
        path = f"model-0000{number}-of-00002.safetensors"
        rest[path] = safetensors({name: tensors[name] for name in half})
        weight_map |= dict.fromkeys(half, path)
    rest["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    return rest


def digest(files: Mapping[str, bytes]) -> str:
    """What `sha256sum` of the files, sorted by path, hashes to."""
    lines = (f"{sha256(files[path])}  {path}\n" for path in sorted(files))
    return sha256("".join(lines).encode())


def sha256(data: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
