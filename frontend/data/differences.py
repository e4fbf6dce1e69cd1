"""What differs between two versions."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st
from aift.data.v1 import data_pb2

from frontend.data.marked_text import changed
from frontend.session import say, signed_in_client

_ROWS = 20


def show_differences(version: data_pb2.DatasetVersion) -> None:
    """Rows added, removed and changed since another version."""
    client = signed_in_client()
    names = [dataset.name for dataset in client.datasets.list() if dataset.latest_version]
    own = (version.parent or version.name).partition("/versions/")[0]
    left, right = st.columns(2)
    owner = left.selectbox(
        say("比較するデータセット", "Compare with"), names, index=names.index(own) if own in names else 0
    )
    others = [other.name for other in client.datasets.versions(owner) if other.name != version.name]
    if not others:
        st.caption(say("比べる版がありません。", "There is no version to compare with."))
        return
    asked = [index for index, name in enumerate(others) if name == version.parent]
    base = right.selectbox(
        say("比較元の版", "Base version"), others, index=(asked or [0])[0], key=f"base-{version.name}-{owner}"
    )
    found = client.datasets.diff(base, version.name, limit=_ROWS)
    _numbers(found)
    _rows(say("変更された行", "Changed rows"), found.changed)
    _rows(say("追加された行", "Added rows"), (data_pb2.RowChange(after=row) for row in found.added))
    _rows(say("削除された行", "Removed rows"), (data_pb2.RowChange(before=row) for row in found.removed))


def show_changes(changes: Iterable[data_pb2.RowChange]) -> None:
    """Rows before and after, one below the other."""
    for change in changes:
        row = change.before if change.HasField("before") else change.after
        st.caption(say(f"{row.index + 1} 行目", f"Row {row.index + 1}"))
        with st.container(border=True):
            st.html(changed(change))


def _numbers(found: data_pb2.DiffDatasetVersionsResponse) -> None:
    unchanged, modified, added, removed = st.columns(4)
    unchanged.metric(say("変更なし", "Unchanged"), f"{found.unchanged_rows:,}")
    modified.metric(say("変更", "Changed"), f"{found.changed_rows:,}")
    added.metric(say("追加", "Added"), f"{found.added_rows:,}")
    removed.metric(say("削除", "Removed"), f"{found.removed_rows:,}")


def _rows(label: str, changes: Iterable[data_pb2.RowChange]) -> None:
    shown = list(changes)
    if shown:
        with st.expander(label, expanded=True):
            show_changes(shown)
