"""Preparation: what is to be done, rows before and after, and the start."""

from __future__ import annotations

import streamlit as st
from aift.data.v1 import data_pb2
from aift.recipe import as_mapping

from frontend.data.differences import show_changes
from frontend.data.intake import follow
from frontend.data.recipe_form import recipe_form
from frontend.session import localized, say, signed_in_client

_LOOKED_AT = 200
_SHOWN = 30


def show_preparation(version: data_pb2.DatasetVersion) -> None:
    """The choices, rows before and after, and the start of a job that makes a new version."""
    recipe = recipe_form()
    dataset = _dataset()
    ready = recipe != data_pb2.Recipe()
    left, right, _ = st.columns([1, 1, 3])
    if left.button(say("プレビュー", "Preview"), disabled=not ready):
        st.session_state["previewed"] = (version.name, as_mapping(recipe))
    if right.button(say("前処理を開始", "Start"), type="primary", disabled=not ready):
        follow(signed_in_client().datasets.start_preparation(version.name, recipe, dataset=dataset or None))
    # A preview stays until the choices change.
    if ready and st.session_state.get("previewed") == (version.name, as_mapping(recipe)):
        _preview(version, recipe)


def _dataset() -> str:
    """The data set that gets the version, which the address keeps; empty for the same."""
    st.session_state.setdefault("prepared-dataset", st.query_params.get("into", ""))
    dataset = st.text_input(
        say("保存先データセット ID", "Data set that gets the version"),
        help=say("空なら同じデータセットの次の版になります。", "Empty: the next version of this one."),
        key="prepared-dataset",
    ).strip()
    if dataset:
        st.query_params["into"] = dataset
    else:
        st.query_params.pop("into", None)
    return dataset


def _preview(version: data_pb2.DatasetVersion, recipe: data_pb2.Recipe) -> None:
    seen = signed_in_client().datasets.preview_preparation(version.name, recipe, limit=_LOOKED_AT)
    changed = seen.rows - seen.unchanged_rows - seen.dropped_rows
    left, middle, right = st.columns(3)
    left.metric(say("変更", "Changed"), f"{changed:,} / {seen.rows:,}")
    middle.metric(say("除外", "Dropped"), f"{seen.dropped_rows:,}")
    right.metric(say("変更なし", "Unchanged"), f"{seen.unchanged_rows:,}")
    st.caption(
        say(
            f"先頭 {seen.rows:,} 行での結果です。まだ何も書き込んでいません。",
            f"Of the first {seen.rows:,} rows. Nothing was written yet.",
        )
    )
    for finding in seen.findings:
        st.warning(f"{finding.reason}: {localized(finding.message)}", icon=":material/warning:")
    show_changes(seen.changes[:_SHOWN])
