"""What a data set is called, and what is said about it."""

from __future__ import annotations

import streamlit as st
from aift.data.v1 import data_pb2

from frontend.session import problems_shown, say, signed_in_client


def show_naming(dataset: data_pb2.Dataset) -> None:
    """Name and description, to be changed."""
    with problems_shown(), st.form(f"name-{dataset.name}", border=False):
        name = st.text_input(say("表示名", "Display name"), dataset.display_name, key=f"display-name-{dataset.name}")
        about = st.text_area(say("説明", "Description"), dataset.description, key=f"description-{dataset.name}")
        if st.form_submit_button(say("保存する", "Save")):
            signed_in_client().datasets.update(dataset.name, display_name=name, description=about)
            st.rerun()
