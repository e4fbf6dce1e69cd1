"""Which rows are trained on, and which are held out."""

from __future__ import annotations

import streamlit as st
from aift import AiftError, Client
from aift.data.v1 import data_pb2

from frontend import words_of_data
from frontend.session import literal, problems_shown, say
from frontend.training.draft import Draft
from frontend.training.objective import fits, form_name, needed
from frontend.training.places import Places

_LOOKED_AT = 3
_HEIGHT = 142


def version_of(client: Client, name: str) -> data_pb2.DatasetVersion:
    """A version of a data set. It never changes, so a session asks once."""
    known: dict[str, data_pb2.DatasetVersion] = st.session_state.setdefault("dataset-versions", {})
    if name not in known:
        known[name] = client.datasets.version(name)
    return known[name]


def linked_version(client: Client, name: str) -> data_pb2.DatasetVersion | None:
    """The version that a link brings; None where it cannot be had, which `choose_rows` tells."""
    try:
        return version_of(client, name)
    except AiftError:
        return None


def choose_rows(client: Client, draft: Draft, objective: str, places: Places) -> str:
    """The version to train on, "" when there is none; those that the objective cannot learn from are told."""
    versions = _versions(client, draft.text("data"))
    fitting = [version for version in versions if fits(objective, version.template.form)]
    others = [version for version in versions if not fits(objective, version.template.form)]
    if fitting:
        _choice(client, draft, fitting, places)
    else:
        _none(objective, bool(others))
    if others:
        _unfit(others, objective)
    return draft.text("data") if fitting else ""


def choose_held_out(client: Client, draft: Draft, objective: str, places: Places) -> str:
    """Rows of another data set for evaluation; "" to split some off."""
    versions = _versions(client, draft.text("eval_data"))
    names = ["", *(version.name for version in versions if fits(objective, version.template.form))]
    chosen = st.selectbox(
        say("評価用データ", "Held-out data"),
        names,
        key=draft.bind("eval_data", "", among=names),
        format_func=lambda name: name or say("学習データから取り分ける", "split off the training data"),
    )
    places.make("eval_dataset_version")
    draft.keep("eval_data", chosen)
    return str(chosen)


def _versions(client: Client, asked: str) -> list[data_pb2.DatasetVersion]:
    names = [dataset.latest_version for dataset in client.datasets.list() if dataset.latest_version]
    versions = [version_of(client, name) for name in names]
    if asked and asked not in names:
        with problems_shown():  # it may be deleted by now; the others can still be chosen
            versions.insert(0, version_of(client, asked))
    return versions


def _choice(client: Client, draft: Draft, versions: list[data_pb2.DatasetVersion], places: Places) -> None:
    names = [version.name for version in versions]
    chosen = st.selectbox(
        say("トレーニングデータ", "Training data"),
        names,
        key=draft.bind("data", names[0], among=names),
        format_func=lambda name: _described(versions[names.index(name)]),
    )
    places.make("dataset_version")
    draft.keep("data", chosen)
    preview = client.datasets.preview(chosen, limit=_LOOKED_AT)
    shown = [{"prompt": row.prompt, "completion": row.completion} for row in preview.rows]
    st.dataframe(shown, hide_index=True, height=_HEIGHT)


def _described(version: data_pb2.DatasetVersion) -> str:
    rows = f"{version.statistics.rows:,} " + say("行", "rows")
    return f"{version.name} · {words_of_data.choice(form_name(version.template.form))} · {rows}"


def _none(objective: str, others: bool) -> None:
    if others:
        st.warning(
            say(
                f"この目的に使えるデータがありません。必要な形式: {needed(objective)}",
                f"No data set fits this objective; it needs: {needed(objective)}",
            )
        )
    label = say("データをアップロードする", "Upload data")
    if not others:
        label = say("まずデータをアップロードしてください。", "Upload data first.")
    st.page_link("screens/data.py", label=label, icon=":material/upload:")


def _unfit(versions: list[data_pb2.DatasetVersion], objective: str) -> None:
    count = len(versions)
    with st.expander(say(f"この目的に使えないデータ（{count} 件）", f"Data that do not fit ({count})")):
        st.caption(say("必要な形式: ", "It needs: ") + needed(objective))
        for version in versions:
            form = words_of_data.choice(form_name(version.template.form))
            st.markdown(f"- {literal(version.name)}: {literal(form)}")
