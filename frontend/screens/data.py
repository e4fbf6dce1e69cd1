"""Data: files in, what validation says, versions from every side."""

from __future__ import annotations

import streamlit as st

from frontend.data.catalogue import show_catalogue
from frontend.data.intake import show_intake
from frontend.data.job import show_jobs, show_running
from frontend.session import problems_shown, say


def show() -> None:
    """The page. The address names the jobs (?job=), the data set, the version and the view that are looked at."""
    st.title(say("データ", "Data"))
    show_intake()
    jobs = st.query_params.get_all("job")
    show_jobs(jobs)
    with problems_shown():
        show_running(jobs)
        show_catalogue()


show()
