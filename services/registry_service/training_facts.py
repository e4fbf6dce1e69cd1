"""What a model that was trained by AIFT says of its training: the part of its aift.json that a version keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.registry_service.errors import ModelFileInvalid
from services.registry_service.folder import Folder
from services.registry_service.inspection import FACTS

_MAX_METRICS = 200
_MAX_NAME = 100
_LARGEST = 1 << 63
_MAX_HYPERPARAMETERS_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """Both empty when the model does not say."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


async def training_facts(folder: Folder) -> TrainingFacts:
    """What aift.json says; nothing without one. Raises ModelFileInvalid when it is not as the trainer writes it."""
    if FACTS not in folder:
        return TrainingFacts()
    said = await folder.json_object(FACTS)
    return TrainingFacts(metrics=_metrics(said), hyperparameters=_hyperparameters(said))


def _metrics(said: Mapping[str, Any]) -> dict[str, float]:
    found = said.get("metrics", {})
    if not isinstance(found, dict) or len(found) > _MAX_METRICS or not all(map(_is_metric, found, found.values())):
        raise ModelFileInvalid(
            FACTS, "metrics is not an object of numbers", "metrics が数値からなるオブジェクトではありません"
        )
    return {name: float(value) for name, value in found.items()}


def _is_metric(name: str, value: object) -> bool:
    number = isinstance(value, float) or (type(value) is int and abs(value) < _LARGEST)
    return number and len(name) <= _MAX_NAME and name.isprintable()


def _hyperparameters(said: Mapping[str, Any]) -> dict[str, Any]:
    found = said.get("hyperparameters", {})
    if not isinstance(found, dict) or not _is_kept(found):
        raise ModelFileInvalid(
            FACTS,
            "hyperparameters is not an object of plain values of at most 64 KiB",
            "hyperparameters が 64 KiB 以内の通常の値からなるオブジェクトではありません",
        )
    return found


def _is_kept(found: Mapping[str, Any]) -> bool:
    try:
        text = json.dumps(found, allow_nan=False)
    except ValueError:  # NaN and infinities, which the database does not take
        return False
    return "\\u0000" not in text and len(text) <= _MAX_HYPERPARAMETERS_BYTES
