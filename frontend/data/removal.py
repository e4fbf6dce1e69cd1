"""Deleting, with what depends on it in view."""

from __future__ import annotations

from itertools import islice

import streamlit as st

from frontend import wording
from frontend.session import problems_shown, say, signed_in_client

_SHOWN = 100


def show_removal(name: str) -> None:
    """What depends on a data set or a version, and the button that deletes it."""
    with problems_shown():
        client = signed_in_client()
        references = list(islice(client.datasets.references(name), _SHOWN))
        outside = [r for r in references if not r.referrer.startswith(f"{name}/versions/")]
        st.write(
            say("この版を削除します。", "This version is deleted.")
            if "/versions/" in name
            else say("すべての版を削除します。", "All versions are deleted.")
        )
        force = False
        if outside:
            st.warning(say("次のものがこのデータに依存しています。", "These depend on it:"), icon=":material/link:")
            st.dataframe(
                [
                    {
                        say("版", "version"): r.dataset_version,
                        say("依存元", "depends on it"): r.referrer,
                        say("開始", "since"): wording.when(r.create_time),
                    }
                    for r in outside
                ],
                hide_index=True,
            )
            force = st.checkbox(say("それでも削除する", "Delete it all the same"), key=f"force-{name}")
        ready = force or not outside
        if st.button(say("削除する", "Delete it"), type="primary", disabled=not ready, key=f"delete-{name}"):
            client.datasets.delete(name, force=force)
            for parameter in ("version",) if "/versions/" in name else ("dataset", "version", "job"):
                st.query_params.pop(parameter, None)
            st.rerun()
