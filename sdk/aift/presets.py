"""Starting points by the memory of a GPU, as the manual's tables have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aift.errors import invalid

USUAL: Final[Mapping[str, object]] = {
    "method": "lora",
    "learning_rate": 3e-4,
    "num_train_epochs": 3.0,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_length": 512,
    "lora_r": 16,
    "lora_alpha": 32.0,
    "gradient_checkpointing": False,
    "eval_split": 0.05,
}
"""The manual's standard settings, by Hugging Face's names. A preset changes some of them."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings by Hugging Face's names, and what they are meant for."""

    label: str
    base_model: str
    settings: Mapping[str, object]


PRESETS: Final = (
    Preset(
        label="8 GB",
        base_model="distilgpt2",
        settings={"lora_r": 16, "per_device_train_batch_size": 8},
    ),
    Preset(
        label="16 GB",
        base_model="japanese-stablelm-3b",
        settings={"lora_r": 16, "per_device_train_batch_size": 4},
    ),
    Preset(
        label="24 GB",
        base_model="elyza-japanese-llama-7b",
        settings={"lora_r": 32, "per_device_train_batch_size": 2},
    ),
    Preset(
        label="40 GB",
        base_model="elyza-japanese-llama-7b",
        settings={"lora_r": 32, "per_device_train_batch_size": 4},
    ),
    Preset(
        label="80 GB",
        base_model="17B",
        settings={"lora_r": 32, "per_device_train_batch_size": 4, "gradient_checkpointing": True},
    ),
    Preset(
        label="32B",
        base_model="cyberagent/calm3-DeepSeek-R1-Distill-Qwen-32B",
        settings={
            "method": "qlora",
            "lora_r": 128,
            "lora_alpha": 32.0,
            "max_length": 512,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 32,
            "num_train_epochs": 2.0,
            "gradient_checkpointing": True,
        },
    ),
)


def preset(name: str) -> Preset:
    """The one of this name, such as "24GB" or "32B", however it is written. Raises AiftError UNKNOWN_PRESET."""
    for one in PRESETS:
        if _plain(name) in (_plain(one.label), _plain(one.label).removesuffix("gb")):
            return one
    known = ", ".join(one.label.replace(" ", "") for one in PRESETS)
    raise invalid(
        "preset",
        "UNKNOWN_PRESET",
        f"There is no preset {name!r}. Choose one of {known}.",
        f"プリセット {name!r} はありません。次から選んでください: {known}",
    )


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "").replace("_", "")
