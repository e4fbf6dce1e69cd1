"""Which base model the rows are looked at with."""

from __future__ import annotations

import streamlit as st
from aift.registry.v1 import registry_pb2

from frontend.session import say, signed_in_client


def choose_base_model() -> str | None:
    """The base model that the address names, else the newest; None, with the way out, when there is none."""
    ready = registry_pb2.BASE_MODEL_STATE_READY
    names = [base.name for base in signed_in_client().base_models.list() if base.state == ready]
    if not names:
        st.page_link(
            "screens/models.py",
            label=say("まずベースモデルを取り込んでください。", "Import a base model first."),
            icon=":material/inventory_2:",
        )
        return None
    asked = st.query_params.get("base", names[0])
    index = names.index(asked) if asked in names else 0
    chosen = st.selectbox(say("ベースモデル", "Base model"), names, index=index, key="data-base")
    st.query_params["base"] = chosen
    return str(chosen)
