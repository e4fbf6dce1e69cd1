"""Values out of Arrow's own buffers: `to_pylist` makes an object of Arrow's for every value first."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa


def numbers(column: pa.Array) -> list[int]:
    """The values of a column of int64 without nulls."""
    values = memoryview(column.buffers()[1]).cast("q")
    return values[column.offset : column.offset + len(column)].tolist()


def strings(column: pa.Array) -> Iterator[memoryview]:
    """The values of a column of strings without nulls, as UTF-8."""
    _, ends, data = column.buffers()
    offsets, values = memoryview(ends).cast("i"), memoryview(data)
    for at in range(column.offset, column.offset + len(column)):
        yield values[offsets[at] : offsets[at + 1]]
