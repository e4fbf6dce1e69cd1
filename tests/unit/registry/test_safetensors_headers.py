"""Headers of safetensors files: what is read, and what is refused before anything loads it."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from services.registry_service.errors import ModelFileInvalid
from services.registry_service.safetensors import MAX_HEADER_BYTES, tensors_of
from tests.unit.registry.conftest import MakeFolder

np = pytest.importorskip("numpy")


def raw(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


async def test_a_file_that_the_library_wrote(make_folder: MakeFolder) -> None:
    written = save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.float16)}, {"format": "pt"})
    found = await tensors_of(await make_folder({"m": written}), "m")
    assert {name: (t.dtype, t.shape, t.elements) for name, t in found.items()} == {
        "a": ("F32", (2, 3), 6),
        "b": ("F16", (5,), 5),
    }


async def test_scalars_and_empty_tensors(make_folder: MakeFolder) -> None:
    header = {"s": tensor([], 0, 4), "e": tensor([0, 7], 4, 4)}
    found = await tensors_of(await make_folder({"m": raw(header, bytes(4))}), "m")
    assert (found["s"].elements, found["e"].elements) == (1, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\x80\x04\x95pickle, not a tensor",
        raw({}, length=1 << 60),
        raw({}, length=MAX_HEADER_BYTES + 1),
        raw(b"[]"),
        raw(b"{nonsense"),
        raw(b"[" * 100_000),
        raw({"a": tensor([2], 0, 8)}, bytes(7)),  # cut
        raw({"a": tensor([2], 0, 8)}, bytes(9)),  # something behind the last tensor
        raw({"a": tensor([2], 0, 12)}, bytes(12)),  # longer than its shape
        raw({"a": tensor([2], 4, 12)}, bytes(12)),  # a gap before it
        raw({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),  # overlapping
        raw({"a": tensor([2], 8, 0)}, bytes(8)),
        raw({"a": tensor([-2], 0, 8)}, bytes(8)),
        raw({"a": tensor([1 << 62, 1 << 62], 0, 8)}, bytes(8)),
        raw({"a": tensor([True], 0, 4)}, bytes(4)),
        raw({"a": tensor([1.0], 0, 4)}, bytes(4)),
        raw({"a": tensor([1], "0", 4)}, bytes(4)),
        raw({"a": tensor([1], 0, 4, "PICKLE")}, bytes(4)),
        raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, bytes(4)),
        raw({"a": None}),
    ],
)
async def test_what_is_refused(make_folder: MakeFolder, content: bytes) -> None:
    folder = await make_folder({"m": content})
    with pytest.raises(ModelFileInvalid) as caught:
        await tensors_of(folder, "m")
    assert caught.value.text("en").startswith("m is not valid: ")
    assert caught.value.text("ja").startswith("m が正しくありません: ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
async def test_any_bytes_are_tensors_or_refused(make_folder: MakeFolder, content: bytes) -> None:
    folder = await make_folder({"m": content})
    try:
        await tensors_of(folder, "m")
    except ModelFileInvalid:
        return
