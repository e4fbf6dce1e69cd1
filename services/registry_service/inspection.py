"""What is looked at before a model with all its weights may be used. Only headers and small files are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from services.registry_service.domain import Inspection
from services.registry_service.errors import (
    ConfigMissing,
    ModelAlreadyQuantized,
    ModelFileInvalid,
    TokenizerMissing,
    UnsafeModelFile,
    WeightsMissing,
)
from services.registry_service.file_kinds import CONFIG, WEIGHTS_INDEX, is_pickle, weights_of
from services.registry_service.folder import Folder
from services.registry_service.licence import MAX_CARD_BYTES, licence_in
from services.registry_service.model_config import check_code_free, shape_of
from services.registry_service.safetensors import Tensor, tensors_of

FACTS = "aift.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("spiece.model",), ("vocab.json", "merges.txt"))
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Masks and frequencies that older versions of transformers saved with the weights.
_BUFFER = re.compile(r"(?:^|\.)(?:attn|attention)\.(?:masked_)?bias$|\.inv_freq$")
_MAX_RECOMMENDED = 100


async def inspect(folder: Folder) -> Inspection:
    """Checks the files of a model with all its weights and tells what they say.

    Raises the errors of this service that name what is missing, broken, unsafe or not supported.
    """
    for path in folder.paths:
        if is_pickle(path):
            raise UnsafeModelFile(file=path)
    if CONFIG not in folder:
        raise ConfigMissing
    config = await folder.json_object(CONFIG)
    check_code_free(CONFIG, config)
    tensors = await weights(folder)
    shape = shape_of(config, parameters=_parameters(tensors), dtype=_dtype(tensors))
    tokenizer = await _tokenizer(folder)
    facts = await folder.json_object(FACTS) if FACTS in folder else {}
    return Inspection(
        shape=shape,
        licence=await _licence(folder) or _short_text(facts.get("licence")),
        has_chat_template=_has_template(folder, tokenizer),
        recommended=_recommended(facts),
    )


async def weights(folder: Folder) -> dict[str, Tensor]:
    """All tensors of a model, from whichever files. Raises WeightsMissing or ModelFileInvalid."""
    paths = weights_of(folder.paths)
    if not paths:
        raise WeightsMissing
    by_file = {path: await tensors_of(folder, path) for path in paths}
    if len(paths) > 1 or WEIGHTS_INDEX in folder:
        await _check_index(folder, by_file)
    return {name: tensor for tensors in by_file.values() for name, tensor in tensors.items()}


async def _check_index(folder: Folder, by_file: Mapping[str, Mapping[str, Tensor]]) -> None:
    """The index names every tensor of every shard, and nothing else."""
    if WEIGHTS_INDEX not in folder:
        raise ModelFileInvalid(
            WEIGHTS_INDEX, "it is missing beside the shards", "分割された重みに必要ですが、見つかりません"
        )
    index = (await folder.json_object(WEIGHTS_INDEX)).get("weight_map")
    said = {str(name): str(path) for name, path in index.items()} if isinstance(index, Mapping) else {}
    found = {name: path for path, tensors in by_file.items() for name in tensors}
    missing = sorted(set(said.values()) - set(by_file))
    if missing:
        raise ModelFileInvalid(
            WEIGHTS_INDEX, f"it names {missing[0][:80]}, which is missing", f"{missing[0][:80]} が見つかりません"
        )
    differing = sorted(said.items() ^ found.items())
    if differing:
        name = differing[0][0][:80]
        raise ModelFileInvalid(
            WEIGHTS_INDEX,
            f"it differs from the shards at tensor {name}",
            f"テンソル {name} が分割ファイルと一致しません",
        )


def _parameters(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.elements for name, tensor in tensors.items() if not _BUFFER.search(name))


def _dtype(tensors: Mapping[str, Tensor]) -> str:
    """The type of most of the weights. Raises ModelAlreadyQuantized when that is not a float of 16 bits or more."""
    counts: Counter[str] = Counter()
    for name, tensor in tensors.items():
        if not _BUFFER.search(name):
            counts[tensor.dtype] += tensor.elements
    if not counts:
        raise WeightsMissing
    most = counts.most_common(1)[0][0]
    if most not in _DTYPES:
        raise ModelAlreadyQuantized(format=most)
    return _DTYPES[most]


async def _tokenizer(folder: Folder) -> dict[str, Any]:
    """tokenizer_config.json, empty when there is none. Raises TokenizerMissing or ModelNeedsCode."""
    if not any(all(path in folder for path in paths) for paths in _TOKENIZERS):
        raise TokenizerMissing
    if _TOKENIZER_CONFIG not in folder:
        return {}
    config = await folder.json_object(_TOKENIZER_CONFIG)
    check_code_free(_TOKENIZER_CONFIG, config)
    return config


def _has_template(folder: Folder, tokenizer: Mapping[str, Any]) -> bool:
    beside = "chat_template.jinja" in folder or "chat_template.json" in folder
    return beside or bool(tokenizer.get("chat_template"))


async def _licence(folder: Folder) -> str:
    return licence_in(await folder.text("README.md", max_bytes=MAX_CARD_BYTES)) if "README.md" in folder else ""


def _recommended(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters of aift.json. Raises ModelFileInvalid unless they are plain values under short names."""
    found = facts.get("recommended", {})
    plain = isinstance(found, Mapping) and all(isinstance(v, str | int | float | bool) for v in found.values())
    if not plain or len(found) > _MAX_RECOMMENDED:
        raise ModelFileInvalid(
            FACTS,
            "recommended is not an object of numbers, texts and truth values",
            "recommended が数値・文字列・真偽値からなるオブジェクトではありません",
        )
    return {str(name)[:100]: value[:200] if isinstance(value, str) else value for name, value in found.items()}


def _short_text(value: Any) -> str:
    return value[:100] if isinstance(value, str) and value.isprintable() else ""
