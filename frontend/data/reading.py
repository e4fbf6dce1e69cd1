"""How a file is to be read, as people choose it."""

from __future__ import annotations

import streamlit as st
from aift.reading import BAD_ROWS, ENCODINGS, FORMATS, FORMS, TOOL_TURNS, TRAIN_ON, Reading

from frontend import words_of_data as words
from frontend.session import say

_DETECT = ""
_COLUMN_FIELDS = (
    "text",
    "instruction",
    "input",
    "response",
    "prompt",
    "completion",
    "messages",
    "conversations",
    "chosen",
    "rejected",
    "label",
)


def reading_options(key: str) -> Reading:
    """The choices; what is left alone is detected, and the report shows the evidence."""
    left, middle, right = st.columns(3)
    reading: Reading = {
        "form": _choice(left, say("行の形式", "Form of the rows"), list(FORMS), f"{key}-form"),
        "train_on": _choice(middle, say("学習する部分", "Trained part"), list(TRAIN_ON), f"{key}-train-on"),
        "format": _choice(right, say("ファイル形式", "File format"), list(FORMATS), f"{key}-format"),
        "encoding": _choice(left, say("文字コード", "Encoding"), list(ENCODINGS), f"{key}-encoding"),
        "bad_rows": middle.selectbox(
            say("問題のある行", "Rows with errors"), list(BAD_ROWS), format_func=words.bad_rows, key=f"{key}-bad-rows"
        ),
        "tool_turns": right.selectbox(
            say("ツールの発話", "Turns of tools"), list(TOOL_TURNS), format_func=words.tool_turns, key=f"{key}-tools"
        ),
        "columns": _columns(f"{key}-columns"),
    }
    return reading


def _choice(place: st.delta_generator.DeltaGenerator, label: str, choices: list[str], key: str) -> str | None:
    chosen = place.selectbox(
        label,
        [_DETECT, *choices],
        format_func=lambda choice: words.choice(choice) if choice else say("自動判別", "detect"),
        key=key,
    )
    return chosen or None


def _columns(key: str) -> dict[str, str]:
    st.caption(
        say(
            "列の対応付け（任意）: 項目ごとに、ファイルの列名を指定します。指定しない列は使われません。",
            "Columns (optional): which column of the file holds a field. Columns that are not named are dropped.",
        )
    )
    field, column = say("項目", "Field"), say("列名", "Column")
    start: list[dict[str, str | None]] = [{field: None, column: None}]
    edited = st.data_editor(
        start,
        num_rows="dynamic",
        hide_index=True,
        column_config={
            field: st.column_config.SelectboxColumn(options=list(_COLUMN_FIELDS)),
            column: st.column_config.TextColumn(),
        },
        key=key,
    )
    pairs = ((row.get(field), row.get(column)) for row in edited)
    return {name: held for name, held in pairs if name and held}
