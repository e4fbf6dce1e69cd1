"""The header of a safetensors file, checked to the last byte: a file that passes has no room for anything hidden.

Format: 8 bytes little-endian length of the header, the header (JSON), then the tensors without gaps.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from services.registry_service.errors import ModelFileInvalid
from services.registry_service.folder import Folder, parse_object

MAX_HEADER_BYTES = 4 << 20
"""A header of 30,000 tensors; supported models have a few hundred a file."""
_SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a file: safetensors' name of its type, its shape, its bytes."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


async def tensors_of(folder: Folder, path: str) -> dict[str, Tensor]:
    """The tensors of a file by name. Reads the header only. Raises ModelFileInvalid."""
    size = folder.size_bytes(path)
    length = int.from_bytes(await folder.read(path, 0, 8), "little") if size >= 8 else 0
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise _invalid(path, "it has no safetensors header", "safetensors のヘッダーがありません")
    header = parse_object(path, await folder.read(path, 8, length))
    header.pop("__metadata__", None)
    tensors = {name: _tensor(path, name, value) for name, value in header.items()}
    _check_layout(path, tensors, size - 8 - length)
    return tensors


def _tensor(path: str, name: str, value: Any) -> Tensor:
    found = value if isinstance(value, Mapping) else {}
    dtype, shape, offsets = found.get("dtype"), _naturals(found.get("shape")), _naturals(found.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in _SIZES or shape is None or offsets is None:
        raise _invalid(
            path, f"tensor {name[:80]!r} has no known type and shape", f"テンソル {name[:80]!r} の型か形状が不明です"
        )
    if len(offsets) != 2:
        raise _misplaced(path, name)
    return Tensor(dtype=dtype, shape=shape, begin=offsets[0], end=offsets[1])


def _naturals(value: Any) -> tuple[int, ...] | None:
    """A list of a few whole numbers that are not negative (true is not one), None when it is anything else."""
    plain = isinstance(value, list) and len(value) <= 16 and all(type(one) is int and one >= 0 for one in value)
    return tuple(value) if plain else None


def _check_layout(path: str, tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    """Every byte of the data belongs to one tensor, and each tensor has as many as its shape says."""
    place = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != place or tensor.end - tensor.begin != tensor.elements * _SIZES[tensor.dtype]:
            raise _misplaced(path, name)
        place = tensor.end
    if place != data_bytes:
        raise _invalid(
            path,
            f"its header speaks of {place} bytes, the file has {data_bytes}; was it cut?",
            f"ヘッダーでは {place} バイトですが、実際は {data_bytes} バイトです。途中で切れていませんか",
        )


def _misplaced(path: str, name: str) -> ModelFileInvalid:
    return _invalid(
        path,
        f"the offsets of tensor {name[:80]!r} do not fit its shape and place",
        f"テンソル {name[:80]!r} のオフセットが形状や位置と一致しません",
    )


def _invalid(path: str, en: str, ja: str) -> ModelFileInvalid:
    return ModelFileInvalid(path, en, ja)
