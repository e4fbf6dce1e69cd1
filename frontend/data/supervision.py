"""Which tokens are trained, rendered by the code that the trainer uses."""

from __future__ import annotations

import streamlit as st
from aift.data.v1 import data_pb2

from frontend.data.base_model import choose_base_model
from frontend.data.marked_text import supervised
from frontend.data.rows import first_row
from frontend.session import localized, say, signed_in_client

_ROWS = 10


def show_supervision(version: data_pb2.DatasetVersion) -> None:
    """Rows as the chosen base model sees them, with what is trained marked."""
    base = choose_base_model()
    if base is None:
        return
    left, right = st.columns(2)
    with left:
        offset = first_row(version, "supervision", step=_ROWS)
    longest = right.number_input(say("最大長（トークン）", "Longest sequence (tokens)"), 1, 1 << 20, 512, key="longest")
    answer = signed_in_client().datasets.preview_supervision(
        version.name, base, offset=offset, limit=_ROWS, max_length=int(longest)
    )
    _numbers(answer)
    for finding in answer.findings:
        st.warning(f"{finding.reason}: {localized(finding.message)}", icon=":material/warning:")
    for row in answer.rows:
        _row(row)


def _numbers(answer: data_pb2.PreviewSupervisionResponse) -> None:
    share, cut, nothing = st.columns(3)
    part = answer.trained_tokens / answer.tokens if answer.tokens else 0.0
    share.metric(
        say("学習されるトークン", "Trained tokens"),
        f"{part:.1%}",
        help=f"{answer.trained_tokens:,} / {answer.tokens:,}",
    )
    cut.metric(
        say("切り詰められる行", "Rows cut off"),
        f"{answer.truncated_rows:,}",
        help=say(f"{answer.truncated_tokens:,} トークン", f"{answer.truncated_tokens:,} tokens"),
    )
    nothing.metric(say("学習対象のない行", "Rows with nothing to train"), f"{answer.untrained_rows:,}")
    st.caption(say("色の付いた部分が学習されます。", "What is marked is trained."))


def _row(row: data_pb2.SupervisedRow) -> None:
    trained = sum(token.trained for token in row.tokens)
    told = [say(f"{row.index + 1} 行目", f"Row {row.index + 1}"), f"{trained:,} / {len(row.tokens):,}"]
    if row.answer:
        told[0] += f" ({row.answer})"
    if trained and not row.stop_trained:
        told.append(say("⚠️ 終了トークンは学習されません", "⚠️ the stop token is not trained"))
    if row.truncated_tokens:
        cut = row.truncated_tokens
        told.append(say(f"⚠️ {cut:,} トークン切り詰め", f"⚠️ {cut:,} tokens cut off"))
    st.caption(" · ".join(told))
    with st.container(border=True):
        if row.HasField("problem"):
            st.error(localized(row.problem))
        st.html(supervised(row.tokens))
