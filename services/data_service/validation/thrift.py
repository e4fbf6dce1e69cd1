"""Thrift's compact protocol, as much of it as Parquet's headers need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, Union

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_SHORT = 15  # a list of fewer items tells their number beside their kind


class Int(NamedTuple):
    """A whole number of 32 bits, or `wide`, of 64."""

    value: int
    wide: bool = False


class Binary(NamedTuple):
    """Bytes, or a string in UTF-8."""

    value: bytes


class Items(NamedTuple):
    """A list of values of one kind; there is at least one of them, or they would be structs."""

    values: Sequence[Value]


Value: TypeAlias = Union[Int, Binary, Items, "Struct"]
Struct: TypeAlias = dict[int, Value]


def encode(struct: Struct) -> bytes:
    """A struct from its fields by number, which ascend."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


def _put_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, value in struct.items():
        if number - before >= _SHORT:
            raise ValueError("fields further apart than a byte tells")
        out.append((number - before) << 4 | _kind(value))
        _put(out, value)
        before = number
    out.append(0)


def _kind(value: Value) -> int:
    if isinstance(value, Int):
        return _I64 if value.wide else _I32
    if isinstance(value, Binary):
        return _BINARY
    return _LIST if isinstance(value, Items) else _STRUCT


def _put(out: bytearray, value: Value) -> None:
    if isinstance(value, Int):
        _put_varint(out, value.value << 1 ^ value.value >> 63)  # zigzag
    elif isinstance(value, Binary):
        _put_varint(out, len(value.value))
        out += value.value
    elif isinstance(value, Items):
        _put_items(out, value.values)
    else:
        _put_struct(out, value)


def _put_items(out: bytearray, values: Sequence[Value]) -> None:
    kind, count = _kind(values[0]) if values else _STRUCT, len(values)
    if count < _SHORT:
        out.append(count << 4 | kind)
    else:
        out.append(_SHORT << 4 | kind)
        _put_varint(out, count)
    for value in values:
        _put(out, value)


def _put_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
