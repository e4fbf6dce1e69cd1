"""Lengths of all rows in tokens of a base model."""

from __future__ import annotations

import grpc
import streamlit as st
from aift import AiftError
from aift.data.v1 import data_pb2

from frontend.data.base_model import choose_base_model
from frontend.data.intake import follow
from frontend.data.report import histogram
from frontend.session import say, signed_in_client


def show_tokens(version: data_pb2.DatasetVersion) -> None:
    """What was counted, or the button that counts."""
    base = choose_base_model()
    if base is None:
        return
    client = signed_in_client()
    try:
        counted = client.datasets.token_statistics(version.name, base)
    except AiftError as error:
        if error.code is not grpc.StatusCode.NOT_FOUND:
            raise
        st.caption(say("まだ計数していません。", "Not counted yet."))
        if st.button(say("トークンを計数する", "Count the tokens"), type="primary"):
            follow(client.datasets.start_token_count(version.name, base))
        return
    _numbers(counted)
    st.caption(say("長さの分布（トークン）", "Lengths in tokens"))
    histogram(counted.histogram_counts, counted.histogram_bounds, say("トークン", "tokens"))


def _numbers(counted: data_pb2.TokenStatistics) -> None:
    tokens, trained, median, p95, longest = st.columns(5)
    share = counted.trained_tokens / counted.tokens if counted.tokens else 0.0
    tokens.metric(say("トークン数", "Tokens"), f"{counted.tokens:,}")
    trained.metric(say("うち学習対象", "Of these trained"), f"{share:.1%}", help=f"{counted.trained_tokens:,}")
    median.metric(say("中央値", "Median"), f"{counted.median_tokens:,}")
    p95.metric(say("95 パーセンタイル", "95 of 100 up to"), f"{counted.p95_tokens:,}")
    longest.metric(say("最長", "Longest"), f"{counted.max_tokens:,}")
