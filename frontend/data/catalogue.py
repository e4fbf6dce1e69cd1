"""Data sets and their versions: which one is looked at, and from which side."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from aift.data.v1 import data_pb2

from frontend import downloads, wording
from frontend.data.differences import show_differences
from frontend.data.naming import show_naming
from frontend.data.preparation import show_preparation
from frontend.data.removal import show_removal
from frontend.data.report import show_report
from frontend.data.rows import show_rows
from frontend.data.supervision import show_supervision
from frontend.data.tokens import show_tokens
from frontend.session import problems_shown, say, signed_in_client

View = Callable[[data_pb2.DatasetVersion], None]


def show_catalogue() -> None:
    """The data set and version that the address names, else the newest."""
    st.subheader(say("データセット", "Data sets"))
    datasets = list(signed_in_client().datasets.list())
    if not datasets:
        st.caption(
            say(
                "まだデータはありません。samples/data/ に試せるファイルがあります。",
                "None yet; samples/data/ has files to try.",
            )
        )
        return
    names = [dataset.name.removeprefix("datasets/") for dataset in datasets]
    before = st.query_params.get("dataset")
    if before is not None and before not in names:
        gone = say(f"datasets/{before} は存在しません。", f"datasets/{before} does not exist.")
        st.warning(gone + say("別のデータセットを表示しています。", " Another data set is shown."))
    chosen = _kept("dataset", say("データセット", "Data set"), names)
    if chosen != before:
        st.query_params.pop("version", None)
    dataset = datasets[names.index(chosen)]
    versions = list(signed_in_client().datasets.versions(dataset.name))
    if dataset.description:
        st.caption(dataset.description)
    _table(versions)
    if versions:
        _version(versions)
    with st.popover(say("名前と説明", "Name and description")):
        show_naming(dataset)
    with st.popover(say("データセットを削除", "Delete the data set")):
        show_removal(dataset.name)


def _kept(name: str, label: str, options: list[str]) -> str:
    """A choice that the address keeps."""
    asked = st.query_params.get(name, options[0])
    index = options.index(asked) if asked in options else 0
    chosen = st.selectbox(label, options, index=index, key=f"choose-{name}-{options[0]}-{len(options)}")
    st.query_params[name] = chosen
    return chosen


def _table(versions: list[data_pb2.DatasetVersion]) -> None:
    st.dataframe(
        [
            {
                say("版", "version"): version.name.rpartition("/")[2],
                say("ファイル", "file"): version.filename,
                say("行数", "rows"): version.statistics.rows,
                say("サイズ", "size"): wording.size(version.size_bytes),
                say("元", "from"): version.parent or version.source,
                say("作成", "created"): wording.when(version.create_time),
                "sha256": version.sha256[:12],
            }
            for version in versions
        ],
        hide_index=True,
    )


def _version(versions: list[data_pb2.DatasetVersion]) -> None:
    numbers = [version.name.rpartition("/")[2] for version in versions]
    version = versions[numbers.index(_kept("version", say("版", "Version"), numbers))]
    views: dict[str, tuple[str, View]] = {
        "rows": (say("行", "Rows"), show_rows),
        "report": (say("検証レポート", "Report"), lambda v: show_report(v.name)),
        "supervision": (say("学習されるトークン", "Trained tokens"), show_supervision),
        "tokens": (say("トークン長", "Token lengths"), show_tokens),
        "preparation": (say("前処理", "Prepare"), show_preparation),
        "differences": (say("差分", "Differences"), show_differences),
        "files": (say("ファイルと削除", "Files, delete"), _files),
    }
    asked = st.query_params.get("view", "rows")
    view = st.segmented_control(
        say("表示", "Show"),
        list(views),
        default=asked if asked in views else "rows",
        format_func=lambda name: views[name][0],
        key="view",
        required=True,
        label_visibility="collapsed",
    )
    st.query_params["view"] = view
    with problems_shown():
        views[view][1](version)


def _files(version: data_pb2.DatasetVersion) -> None:
    words = {
        "original": say("元のファイル", "Original"),
        "canonical": "Parquet",
        "set-aside": say("取り分けた行", "Rows set aside"),
    }
    kinds = {"original/": "original", "rows.parquet": "canonical", "set-aside.jsonl": "set-aside"}
    for file in version.files:
        kind = next((kind for begin, kind in kinds.items() if file.path.startswith(begin)), None)
        if kind is not None:
            label = f"{words[kind]} · {wording.size(file.size_bytes)}"
            st.link_button(label, downloads.address(version.name, kind), icon=":material/download:")
    st.divider()
    show_removal(version.name)
