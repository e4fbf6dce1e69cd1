"""config.json of the architectures that the trainer and the engines know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.registry_service.domain import ModelShape
from services.registry_service.errors import (
    ModelAlreadyQuantized,
    ModelFileInvalid,
    ModelNeedsCode,
    UnsupportedArchitecture,
)
from services.registry_service.file_kinds import CONFIG


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What an architecture calls its numbers, and its defaults where a file may leave them out."""

    hidden: str = "hidden_size"
    inner: str = "intermediate_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    context: str = "max_position_embeddings"
    tied: bool = False
    head_size: int = 0


_USUAL = Keys()
_GEMMA = Keys(tied=True, head_size=256)
# Defaults are those of the classes in transformers 5.23.
_ARCHITECTURES = {
    "GPT2LMHeadModel": Keys(
        hidden="n_embd", inner="n_inner", layers="n_layer", heads="n_head", context="n_positions", tied=True
    ),
    "GPTNeoXForCausalLM": _USUAL,
    "StableLmForCausalLM": _USUAL,
    "LlamaForCausalLM": _USUAL,
    "MistralForCausalLM": _USUAL,
    "Qwen2ForCausalLM": _USUAL,
    "Qwen3ForCausalLM": Keys(head_size=128),
    "GemmaForCausalLM": _GEMMA,
    "Gemma2ForCausalLM": _GEMMA,
    "Gemma3ForCausalLM": _GEMMA,
}
SUPPORTED = ", ".join(_ARCHITECTURES)
_LARGEST = 1 << 40


def check_code_free(path: str, config: Mapping[str, Any]) -> None:
    """Raises ModelNeedsCode when a JSON file of a model names Python code."""
    if config.get("auto_map"):
        raise ModelNeedsCode(file=path)


def shape_of(config: Mapping[str, Any], *, parameters: int, dtype: str) -> ModelShape:
    """The shape that a config.json describes.

    Raises UnsupportedArchitecture, ModelNeedsCode, ModelAlreadyQuantized, or ModelFileInvalid naming a key.
    """
    check_code_free(CONFIG, config)
    architecture = _architecture(config)
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "?") if isinstance(quantization, Mapping) else "?"
        raise ModelAlreadyQuantized(format=str(method)[:40])
    keys = _ARCHITECTURES[architecture]
    hidden, heads = _number(config, keys.hidden), _number(config, keys.heads)
    return ModelShape(
        architecture=architecture,
        parameters=parameters,
        hidden_size=hidden,
        intermediate_size=_number(config, keys.inner, 4 * hidden if keys.inner == "n_inner" else None),
        layers=_number(config, keys.layers),
        attention_heads=heads,
        key_value_heads=_number(config, "num_key_value_heads", heads),
        head_size=_number(config, "head_dim", keys.head_size or hidden // heads),
        vocabulary_size=_number(config, "vocab_size"),
        max_context_tokens=_number(config, keys.context),
        tied_embeddings=bool(config.get("tie_word_embeddings", keys.tied)),
        dtype=dtype,
    )


def _architecture(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    first = str(named[0])[:80] if isinstance(named, list) and named else str(config.get("model_type", "?"))[:80]
    if first not in _ARCHITECTURES:
        raise UnsupportedArchitecture(architecture=first, supported=SUPPORTED)
    return first


def _number(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or not 0 < value < _LARGEST:
        raise ModelFileInvalid(CONFIG, f"{key} is not a positive whole number", f"{key} が正の整数ではありません")
    return value
