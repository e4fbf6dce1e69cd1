"""How to train: a starting point, the manual's fields, and every other hyperparameter of the contract in groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st
from aift.hyperparameters import FIELDS, as_settings, hyperparameters
from aift.presets import PRESETS, USUAL
from google.protobuf.json_format import MessageToDict

from frontend.session import say
from frontend.training import words
from frontend.training.draft import Draft
from frontend.training.fields import show_choice, show_field
from frontend.training.objective import PREFERENCES
from frontend.training.places import Places
from frontend.training.start import Start

_MAIN: Final = (
    "method",
    "learning_rate",
    "gradient_accumulation_steps",
    "lora_r",
    "per_device_train_batch_size",
    "max_length",
    "lora_alpha",
    "num_train_epochs",
    "eval_split",
)
_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "optimisation": (
        "max_steps",
        "lr_scheduler_type",
        "warmup_ratio",
        "warmup_steps",
        "weight_decay",
        "max_grad_norm",
        "neftune_noise_alpha",
        "beta",
        "seed",
    ),
    "adapters": ("lora_dropout", "lora_target_modules", "use_rslora", "use_dora"),
    "evaluation": ("eval_steps", "early_stopping_patience", "load_best_model_at_end"),
    "memory": ("gradient_checkpointing", "packing", "dataloader_num_workers"),
    "records": ("save_steps", "logging_steps"),
}
_OF_ADAPTERS: Final = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "use_rslora", "use_dora")
_DECIDED_BY_ADAPTER: Final = frozenset(_OF_ADAPTERS) - {"lora_dropout"}
_COLUMNS: Final = 3
_USUAL, _CARD = "usual", "card"


def show_settings(draft: Draft, places: Places, start: Start, objective: str) -> dict[str, object]:
    """The fields that matter for this start and objective, and what they hold, by canonical name."""
    _starting_point(draft, start)
    columns = st.columns(_COLUMNS)
    show_choice(draft, places, columns[0], "method", start.methods)
    method = draft.text("method")
    shown = [name for name in _MAIN[1:] if applies(name, method, objective, start)]
    for name in shown:
        show_field(draft, places, columns[_MAIN.index(name) % _COLUMNS], name)
    with st.expander(say("詳細設定", "All settings")):
        for group, names in groups().items():
            usable = [name for name in names if applies(name, method, objective, start)]
            shown += usable
            if usable:
                _group(draft, places, group, usable)
    return {name: value for name in ("objective", "method", *shown) if (value := draft.get(name)) is not None}


def groups() -> dict[str, tuple[str, ...]]:
    """Every hyperparameter that has no place among the manual's fields; what no group knows comes last."""
    placed = {"objective", *_MAIN, *(name for names in _GROUPS.values() for name in names)}
    rest = tuple(name for name in FIELDS if name not in placed)
    return {**_GROUPS, **({"other": rest} if rest else {})}


def applies(name: str, method: str, objective: str, start: Start) -> bool:
    """Whether a field changes anything, so that only those are shown and sent."""
    if name in _OF_ADAPTERS and method == "full":
        return False
    if name in _DECIDED_BY_ADAPTER and start.is_adapter:
        return False
    return name != "beta" or objective in PREFERENCES


def _group(draft: Draft, places: Places, group: str, names: list[str]) -> None:
    st.caption(words.group(group))
    columns = st.columns(_COLUMNS)
    for number, name in enumerate(names):
        show_field(draft, places, columns[number % _COLUMNS], name)


def _starting_point(draft: Draft, start: Start) -> None:
    """Presets that fill the fields in. What was changed since stays until another one is chosen."""
    card = as_settings(hyperparameters(MessageToDict(start.base.recommended)))
    labels = {
        _USUAL: say("標準", "Usual"),
        **({_CARD: say("モデルカードの推奨値", "The model card's")} if card else {}),
    }
    options = [*labels, *(preset.label for preset in PRESETS)]
    over: dict[str, Mapping[str, object]] = {preset.label: preset.settings for preset in PRESETS}
    filled = {name: _filled(over.get(name, card if name == _CARD else {}), start) for name in options}
    if draft.get("preset") is None:
        first = _CARD if card else _USUAL
        draft.write({name: value for name, value in filled[first].items() if draft.get(name) is None})
        draft.write({"preset": first})
    key = draft.bind("preset", "")

    def fill() -> None:
        draft.write(filled.get(st.session_state[key] or "", {}))

    chosen = st.pills(
        say("プリセット（GPUメモリ別）", "Preset (by GPU memory)"),
        options,
        key=key,
        format_func=lambda name: labels.get(name, name),
        on_change=fill,
        help=" · ".join(f"{preset.label}: {preset.base_model}" for preset in PRESETS),
    )
    draft.keep("preset", chosen or "")


def _filled(settings: Mapping[str, object], start: Start) -> dict[str, object]:
    """The manual's standard settings with those of a preset, no longer than the model takes."""
    values = {**USUAL, **settings}
    values.pop("objective", None)  # chosen above, with the data
    longest, length = start.base.shape.max_context_tokens, values["max_length"]
    if isinstance(length, int) and 0 < longest < length:
        values["max_length"] = longest
    return values
