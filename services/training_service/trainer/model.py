"""The model to train: read from a directory, adapters put in, and its packing proved on itself."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from services.text import tokenizer
from services.text.problems import Problem, ProblemError
from services.training_service.trainer import attention
from services.training_service.trainer.batches import flat
from services.training_service.trainer.failures import ConfigurationError, configuration
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.loss import summed_loss
from services.training_service.trainer.rows import TokenRow

log = logging.getLogger(__name__)

_SMALL_VOCABULARY = 64


def load_tokenizer(path: Path) -> Any:
    """The model's tokenizer. Raises ConfigurationError."""
    try:
        return tokenizer.load(path)
    except ProblemError as error:
        raise _unreadable("tokenizer", path, error) from error


def check_files(path: Path) -> dict[str, Any]:
    """The model's configuration. Raises ConfigurationError for anything but safetensors without code of its own."""
    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable("config.json", path, error) from error
    if "auto_map" in config:
        raise configuration(
            "MODEL_WITH_CODE",
            "base_model",
            "the model's config.json names code of its own (auto_map); such models are not run",
            "config.json が独自コード（auto_map）を指定しています。このようなモデルは実行しません",
        )
    if not any(path.glob("*.safetensors")):
        raise configuration(
            "MODEL_WITHOUT_SAFETENSORS",
            "base_model",
            f"{path} holds no *.safetensors; convert the weights first",
            f"{path} に *.safetensors がありません。重みを変換してください",
        )
    return config


def context_length(config: dict[str, Any]) -> int:
    """Tokens that the model can see at once; very many where its configuration names no limit."""
    names = ("max_position_embeddings", "n_positions", "n_ctx")
    return int(next((config[name] for name in names if config.get(name)), 2**31))


def load(path: Path, hyperparameters: Hyperparameters, device: torch.device) -> Any:
    """The weights on the device: fp32 on CPU, else bf16 (fp16 where there is none); 4-bit for qlora."""
    from transformers import AutoModelForCausalLM

    attention.register()
    options: dict[str, Any] = {"dtype": weight_dtype(hyperparameters, device)}
    if hyperparameters.method == "qlora":
        options |= {"quantization_config": _four_bits(device), "device_map": {"": device}}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(path),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation=attention.for_padded(_config(path)),
            **options,
        )
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable("weights", path, error) from error
    model.config.use_cache = False
    placed = hyperparameters.method == "qlora" or hyperparameters.deepspeed_stage == 3
    return model if placed else model.to(device)


def weight_dtype(hyperparameters: Hyperparameters, device: torch.device) -> torch.dtype:
    """fp32 on CPU and where all weights are trained (autocast does the rest), else the GPU's half precision. DeepSpeed
    keeps fp32 masters itself."""
    whole = hyperparameters.method == "full" and not hyperparameters.deepspeed_stage
    if device.type != "cuda" or whole:
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _four_bits(device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=half if device.type == "cuda" else torch.float32,
    )


def with_adapters(model: Any, hyperparameters: Hyperparameters) -> Any:
    """The model with what is trained made trainable. Raises ConfigurationError."""
    from peft import LoraConfig, get_peft_model

    if hyperparameters.method == "full":
        return model
    targets = _targets(model, hyperparameters)
    model = _ready_for_adapters(model, hyperparameters)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=hyperparameters.lora_r,
        lora_alpha=hyperparameters.lora_alpha,
        lora_dropout=hyperparameters.lora_dropout,
        use_rslora=hyperparameters.use_rslora,
        use_dora=hyperparameters.use_dora,
        target_modules=sorted(targets),
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
    )
    return get_peft_model(model, config)


def going_on(model: Any, adapter: Path, hyperparameters: Hyperparameters) -> Any:
    """The model with an adapter that is trained on. Raises ConfigurationError where it is none, or another model's."""
    from peft import PeftConfig, PeftModel

    if not (adapter / "adapter_model.safetensors").is_file():
        missing = FileNotFoundError(f"{adapter} holds no adapter_model.safetensors")
        raise _unreadable("adapter", adapter, missing)
    try:
        ready = _ready_for_adapters(model, hyperparameters)
        config = PeftConfig.from_pretrained(str(adapter))
        config.lora_dropout = hyperparameters.lora_dropout
        return PeftModel.from_pretrained(ready, str(adapter), config=config, is_trainable=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unreadable("adapter", adapter, error) from error


def _ready_for_adapters(model: Any, hyperparameters: Hyperparameters) -> Any:
    from peft import prepare_model_for_kbit_training

    if hyperparameters.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if hyperparameters.gradient_checkpointing:
        model.enable_input_require_grads()
    return model


def linear_layers(model: Any) -> Iterator[tuple[str, int]]:
    """Last part of the name and smaller side of every linear layer but the output."""
    output = model.get_output_embeddings()
    for name, module in model.named_modules():
        if module is not output and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"):
            shape = getattr(module.weight, "ds_shape", module.weight.shape)  # ZeRO-3 holds a part of it
            sides = (module.in_features, module.out_features) if isinstance(module, nn.Linear) else shape
            yield name.rpartition(".")[2], min(sides)


def _targets(model: Any, hyperparameters: Hyperparameters) -> set[str]:
    """Names of the layers that get adapters, each checked against the model."""
    sides = dict(linear_layers(model))
    wanted = set(hyperparameters.lora_target_modules) or set(sides)
    problems = [_no_such_layer(name, sorted(sides)) for name in sorted(wanted - set(sides))]
    largest = min((sides[name] for name in wanted & set(sides)), default=0)
    if not problems and hyperparameters.lora_r > largest:
        problems.append(_rank_too_high(hyperparameters.lora_r, largest))
    if problems:
        raise ConfigurationError(*problems)
    return wanted


def prove_packing(model: Any, vocabulary: int, device: torch.device) -> str:
    """Sets the attention under which rows laid end to end give the loss that they give alone, and returns its name; ""
    where none does.

    Tried on this very model with made-up rows, since not every architecture hands the layout down to attention. Those
    that do not get the block mask that transformers makes of position_ids, which is exact too, but slower.
    """
    numbers = np.random.default_rng(0)
    rows = [_made_up(numbers, length, vocabulary) for length in (13, 5, 9)]
    tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
    with torch.no_grad():
        apart = sum(_loss(model, [row], device) for row in rows)
        for name in attention.for_packed(model.config, device):
            together = _loss_or_nan(model, name, rows, device)
            if abs(together - apart) <= tolerance * abs(apart):
                log.info("attention: %s, rows laid end to end", name)
                return name
    model.set_attn_implementation(attention.for_padded(model.config))
    log.warning("packing is off: on %s packed rows would see each other", type(model).__name__)
    return ""


def prove_packing_small(path: Path) -> str:
    """The attention of `prove_packing`, tried on two random layers of the architecture on the CPU; "" where none is
    right. For weights that are shared out among ranks, which cannot run before training begins."""
    from transformers import AutoModelForCausalLM

    attention.register()
    config = _config(path)
    config.num_hidden_layers, config.vocab_size = 2, _SMALL_VOCABULARY
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    config.initializer_range = 0.2  # so that rows which see each other change the loss
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:2]
    with torch.random.fork_rng(devices=[]):
        fitting = attention.for_padded(config)
        small = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=fitting).eval()
    return prove_packing(small, _SMALL_VOCABULARY, torch.device("cpu"))


def _config(path: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)


def _loss_or_nan(model: Any, name: str, rows: list[TokenRow], device: torch.device) -> float:
    """The loss under an attention that the architecture may not have, or not for packed rows."""
    try:
        model.set_attn_implementation(name)
        return _loss(model, rows, device)
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        log.warning("%s takes no packed rows by %s: %s", type(model).__name__, name, error)
        return float("nan")


def _made_up(numbers: np.random.Generator, length: int, vocabulary: int) -> TokenRow:
    ids = numbers.integers(0, vocabulary, length).astype(np.int32)
    return TokenRow(ids, np.ones(length, np.bool_), 0)


def _loss(model: Any, rows: list[TokenRow], device: torch.device) -> float:
    batch = flat(rows)
    if len(rows) == 1:  # alone, without a word about packing
        batch = {name: batch[name] for name in ("input_ids", "logits_to_keep", "targets")}
    moved = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    return float(summed_loss(model, moved))


def _unreadable(what: str, path: Path, error: Exception) -> ConfigurationError:
    en = f"the base model's {what} in {path} cannot be read: {error}"
    return configuration("MODEL_UNREADABLE", "base_model", en, f"ベースモデルの {what}（{path}）を読めません: {error}")


def _no_such_layer(name: str, known: list[str]) -> Problem:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known)}"
    return Problem(
        "NO_SUCH_LAYER",
        "hyperparameters.lora_target_modules",
        f"the model has no linear layer {name!r}{hint}",
        f"モデルに線形層「{name}」がありません。使えるもの: {', '.join(known)}",
    )


def _rank_too_high(rank: int, largest: int) -> Problem:
    return Problem(
        "LORA_RANK_TOO_HIGH",
        "hyperparameters.lora_r",
        f"lora_r is {rank}, but the smallest layer has {largest} inputs or outputs; use at most {largest}",
        f"lora_r の値 {rank} が層の大きさ {largest} を超えています。{largest} 以下にしてください",
    )
