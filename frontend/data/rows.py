"""Rows of a version, from anywhere in it."""

from __future__ import annotations

import streamlit as st
from aift.data.v1 import data_pb2

from frontend.session import say, signed_in_client

_ROWS = 20


def show_rows(version: data_pb2.DatasetVersion) -> None:
    """What the model is shown and what it learns, row by row."""
    preview = signed_in_client().datasets.preview(version.name, offset=first_row(version, "rows"), limit=_ROWS)
    rejected = any(row.rejected for row in preview.rows)
    st.dataframe(
        [
            {"line": row.line, "prompt": row.prompt, "completion": row.completion}
            | ({"rejected": row.rejected} if rejected else {})
            for row in preview.rows
        ],
        hide_index=True,
    )


def first_row(version: data_pb2.DatasetVersion, key: str, *, step: int = _ROWS) -> int:
    """Where to begin, from 0."""
    last = max(version.statistics.rows - 1, 0)
    label = say("最初の行", "First row")
    return int(st.number_input(label, 0, last, 0, step=step, key=f"first-{key}-{version.name}"))
