"""The columns of rows.parquet for those who have pyarrow."""

from __future__ import annotations

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),  # position in the version, from 0
        pa.field("line", pa.int64(), nullable=False),  # line in the original, from 1
        pa.field("json", pa.string(), nullable=False),  # the row as compact JSON with sorted keys
    ]
)
