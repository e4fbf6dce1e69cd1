"""Preparation: what is to be done, rows before and after, and the start."""

from __future__ import annotations

import streamlit as st
from aift.data.v1 import data_pb2
from aift.reading import FORMS
from aift.recipe import NEAR_THRESHOLD, NORMALIZATIONS, REDACTIONS, RecipeOptions, as_mapping, recipe_of

from frontend import words_of_data as words
from frontend.data.differences import show_changes
from frontend.data.intake import follow
from frontend.session import say, signed_in_client

_LOOKED_AT = 200
_SHOWN = 30


def show_preparation(version: data_pb2.DatasetVersion) -> None:
    """Choices, in the order in which they are carried out; the result is a new version."""
    recipe = recipe_of(None, **_options())
    dataset = st.text_input(
        say("保存先データセット ID", "Data set that gets the version"),
        help=say("空なら同じデータセットの次の版になります。", "Empty: the next version of this one."),
        key="prepared-dataset",
    ).strip()
    ready = recipe != data_pb2.Recipe()
    left, right, _ = st.columns([1, 1, 3])
    if left.button(say("プレビュー", "Preview"), disabled=not ready):
        st.session_state["previewed"] = (version.name, as_mapping(recipe))
    if right.button(say("前処理を開始", "Start"), type="primary", disabled=not ready):
        follow(signed_in_client().datasets.start_preparation(version.name, recipe, dataset=dataset or None))
    # A preview stays until the choices change.
    if ready and st.session_state.get("previewed") == (version.name, as_mapping(recipe)):
        _preview(version, recipe)


def _options() -> RecipeOptions:
    left, middle, right = st.columns(3)
    options: RecipeOptions = {}
    with left:
        options["chunk"] = _chunk()
        form = st.selectbox(
            say("行の形式を変換", "Convert to the form"),
            ["", *FORMS],
            format_func=lambda word: words.choice(word) if word else say("変換しない", "leave it"),
            key="prepare-form",
        )
        options["to"] = form or None
        normalization = st.selectbox(
            say("文字の正規化", "Normalise characters"),
            list(NORMALIZATIONS),
            format_func=words.normalization,
            key="prepare-normalize",
        )
        options["normalize"] = normalization if normalization != "none" else None
    with middle:
        options["redact"] = _redactions()
        _filters(options)
    with right:
        options["dedupe"] = _duplicates()
        options["split"] = _split()
    return options


def _chunk() -> tuple[int, int] | None:
    if not st.checkbox(say("長文を分割（継続事前学習用）", "Cut long texts"), key="prepare-chunk"):
        return None
    longest = st.number_input(say("最大文字数", "Longest chunk (characters)"), 1, 100_000, 1000, key="chunk-longest")
    shared = st.number_input(say("重なり（文字）", "Overlap (characters)"), 0, int(longest) // 2, 0, key="chunk-shared")
    return int(longest), int(shared)


def _redactions() -> list[str]:
    told = {
        "emails": say("メールアドレス → [EMAIL]", "e-mail addresses → [EMAIL]"),
        "phones": say("電話番号 → [PHONE]", "telephone numbers → [PHONE]"),
        "my-numbers": say("マイナンバー → [MY_NUMBER]", "My Numbers → [MY_NUMBER]"),
    }
    label = say("個人情報を伏せる", "Redact personal data")
    nothing = say("伏せない", "nothing")
    return st.multiselect(
        label, list(REDACTIONS), format_func=lambda word: told[word], placeholder=nothing, key="prepare-redact"
    )


def _filters(options: RecipeOptions) -> None:
    least = st.number_input(say("最小文字数（0 = 制限なし）", "Fewest characters (0: any)"), 0, key="prepare-least")
    most = st.number_input(say("最大文字数（0 = 制限なし）", "Most characters (0: any)"), 0, key="prepare-most")
    options["min_characters"] = int(least) or None
    options["max_characters"] = int(most) or None
    help_text = say("正規表現を 1 行に 1 つ。", "Regular expressions, one a line.")
    drop = st.text_area(say("一致する行を除外", "Drop rows that match"), height=68, help=help_text, key="prepare-drop")
    keep = st.text_area(
        say("一致する行だけ残す", "Keep only rows that match"), height=68, help=help_text, key="prepare-keep"
    )
    options["drop_patterns"] = [line for line in drop.splitlines() if line.strip()]
    options["keep_patterns"] = [line for line in keep.splitlines() if line.strip()]


def _duplicates() -> str | None:
    told = {
        "": say("そのまま", "leave them"),
        "exact": say("完全一致を除く", "drop exact ones"),
        "near": say("似た行も除く", "drop similar ones too"),
    }
    chosen = st.selectbox(
        say("重複", "Repetitions"), list(told), format_func=lambda word: told[word], key="prepare-dedupe"
    )
    if chosen != "near":
        return chosen or None
    threshold = st.slider(say("似ている度合い", "Similarity"), 0.55, 1.0, NEAR_THRESHOLD, 0.05, key="prepare-near")
    return f"near={threshold:g}"


def _split() -> dict[str, float] | None:
    shares = {
        "validation": st.number_input(say("検証用 (%)", "For validation (%)"), 0.0, 50.0, 0.0, 1.0, key="split-valid"),
        "test": st.number_input(say("テスト用 (%)", "For testing (%)"), 0.0, 50.0, 0.0, 1.0, key="split-test"),
    }
    return {name: share / 100 for name, share in shares.items() if share} or None


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
    show_changes(seen.changes[:_SHOWN])
