"""One training job, live. The address names it and what is looked at; closing or reloading the page changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from aift.jobs import ENDED
from aift.training.v1 import training_pb2

from frontend.session import literal, problems_shown, say, signed_in_client
from frontend.training.charts import show_charts
from frontend.training.history import History, history_of
from frontend.training.log import show_log
from frontend.training.samples import show_samples
from frontend.training.siblings import show_siblings, show_spec
from frontend.training.standing import show_standing
from frontend.training.steering import show_steering
from frontend.training.timeline import show_checkpoints, show_timeline

_EVERY_S = 2


def show() -> None:
    """The page. While the job works it looks again every two seconds."""
    name = st.query_params.get("name", "")
    if not name:
        st.page_link(
            "screens/dashboard.py",
            label=say("ダッシュボードからジョブを選んでください。", "Choose a job on the dashboard."),
        )
        return
    with problems_shown():
        job = signed_in_client().training.get(name)
        short = job.name.removeprefix("trainingJobs/")
        st.title(say("ジョブ ", "Job ") + literal(job.display_name or short))
        if job.display_name:
            st.caption(literal(short))
        if job.state in ENDED and history_of(job).read >= job.last_sequence:
            _job(job)
        else:
            st.fragment(_live, run_every=_EVERY_S)(name)


def _live(name: str) -> None:
    with problems_shown():
        job = signed_in_client().training.get(name)
        _job(job)
        if job.state in ENDED and history_of(job).read >= job.last_sequence:
            st.rerun()


def _job(job: training_pb2.TrainingJob) -> None:
    history = history_of(job)
    show_standing(job, history)
    show_steering(job)
    if history.read < job.last_sequence:
        st.caption(
            say("これまでの記録を読んでいます: ", "Reading what happened so far: ")
            + f"{history.read:,} / {job.last_sequence:,}"
        )
    views = _views(job, history)
    asked = st.query_params.get("view", "charts")
    view = st.segmented_control(
        say("表示", "Show"),
        list(views),
        default=asked if asked in views else "charts",
        format_func=lambda name: views[name][0],
        key="job-view",
        required=True,
        label_visibility="collapsed",
    )
    if st.query_params.get("view") != view:
        st.query_params["view"] = view
    with problems_shown():
        views[view][1]()


def _views(job: training_pb2.TrainingJob, history: History) -> dict[str, tuple[str, Callable[[], None]]]:
    views: dict[str, tuple[str, Callable[[], None]]] = {
        "charts": (say("グラフ", "Charts"), lambda: show_charts(job)),
        "samples": (say("生成例", "Samples"), lambda: show_samples(history.samples)),
        "log": (say("ログ", "Log"), lambda: show_log(history)),
        "timeline": (say("経緯", "Timeline"), lambda: show_timeline(job, history.marks)),
        "checkpoints": (say("チェックポイント", "Checkpoints"), lambda: show_checkpoints(job)),
        "settings": (say("設定", "Settings"), lambda: show_spec(job)),
    }
    if job.sweep:
        views["sweep"] = (say(f"スイープ {job.sweep}", f"Sweep {job.sweep}"), lambda: show_siblings(job))
    return views


show()
