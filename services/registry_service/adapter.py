"""PEFT adapters: are the files an adapter, and does it belong to the base model that is named?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.registry_service.domain import BaseModel, ModelKind
from services.registry_service.errors import (
    AdapterBaseMismatch,
    FilesNotOfKind,
    ModelFileInvalid,
    UnsafeModelFile,
)
from services.registry_service.file_kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_pickle
from services.registry_service.folder import Folder
from services.registry_service.hub_names import canonical, is_hub_id
from services.registry_service.inspection import weights
from services.registry_service.model_config import check_code_free
from services.registry_service.safetensors import Tensor, tensors_of

# "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", with an adapter's name before "weight" or without.
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.[\w-]+)?\.weight")
# The part of a module's name that does not depend on how the model is wrapped: "layers.0.self_attn.q_proj".
_IN_LAYER = re.compile(r"\w+\.\d+\..+")


async def check_adapter(folder: Folder, base: BaseModel, base_folder: Folder) -> None:
    """Raises FilesNotOfKind, UnsafeModelFile, ModelNeedsCode, ModelFileInvalid, or AdapterBaseMismatch."""
    for path in folder.paths:
        if is_pickle(path):
            raise UnsafeModelFile(file=path)
    for path in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if path not in folder:
            raise FilesNotOfKind(kind=ModelKind.ADAPTER, file=path)
    config = await folder.json_object(ADAPTER_CONFIG)
    check_code_free(ADAPTER_CONFIG, config)
    _check_base_name(config, base)
    adapter = await tensors_of(folder, ADAPTER_WEIGHTS)
    if not adapter:
        raise ModelFileInvalid(ADAPTER_WEIGHTS, "it holds no tensors", "テンソルがありません")
    _check_shapes(adapter, await weights(base_folder), base.name)


def _check_base_name(config: Mapping[str, Any], base: BaseModel) -> None:
    """The Hub id that PEFT wrote is the base model's. It also writes folders, and our trainer names of ours; what
    those meant where the adapter was made says nothing here."""
    written = str(config.get("base_model_name_or_path") or "")
    named = canonical(written)
    of_hub = "/" in named and is_hub_id(named) and not named.startswith("baseModels/")
    comparable = of_hub and "/" in base.hub_id
    if comparable and named.lower() != base.hub_id.lower():
        raise AdapterBaseMismatch(
            base_model=base.name, what="base_model_name_or_path", found=named[:200], expected=base.hub_id
        )


def _check_shapes(adapter: Mapping[str, Tensor], base: Mapping[str, Tensor], base_name: str) -> None:
    """Each LoRA pair fits the matrix of the same place; Conv1D of GPT-2 keeps its matrices transposed."""
    sides = {_place(name.removesuffix(".weight")): t.shape for name, t in base.items() if len(t.shape) == 2}
    for name, tensor in adapter.items():
        match = _LORA.fullmatch(name)
        if match is None:
            continue
        place = _place(match["module"])
        shape = sides.get(place)
        if shape is None and "." not in place:
            continue  # an output layer that is one with the embedding has no matrix of its own
        found = tensor.shape[1 if match["side"] == "A" else 0] if len(tensor.shape) == 2 else 0
        if shape is None or found not in shape:
            expected = "no such module" if shape is None else " × ".join(str(side) for side in shape)
            raise AdapterBaseMismatch(
                base_model=base_name,
                what=name[:120],
                found=" × ".join(str(side) for side in tensor.shape),
                expected=expected,
            )


def _place(module: str) -> str:
    match = _IN_LAYER.search(module)
    return match[0] if match else module.rpartition(".")[2]
