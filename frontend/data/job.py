"""Data jobs: how far they are, how they ended, and what to do then."""

from __future__ import annotations

from itertools import islice

import streamlit as st
from aift.data.v1 import data_pb2
from aift.data_jobs import ENDED, progress_of

from frontend import words_of_data as words
from frontend.data.intake import check
from frontend.data.reading import reading_options
from frontend.data.report import show_report
from frontend.session import localized, problems_shown, say, signed_in_client
from frontend.uploader import SentFile

_LOOKED_AT = 30


def show_jobs(names: list[str]) -> None:
    """The jobs that the address names: one in full, several as a line each."""
    if len(names) == 1:
        _show_job(names[0])
    elif names:
        with problems_shown():
            jobs = [signed_in_client().datasets.job(name) for name in names]
            working = any(job.state not in ENDED for job in jobs)
            st.fragment(_lines, run_every=1 if working else None)(names, working=working)


def _lines(names: list[str], *, working: bool) -> None:
    with problems_shown():
        jobs = [signed_in_client().datasets.job(name) for name in names]
        for job in jobs:
            left, right = st.columns([4, 1])
            with left:
                _line(job)
            if right.button(say("表示", "Show"), key=f"line-{job.name}"):
                _turn_to(job)
        if working and all(job.state in ENDED for job in jobs):
            st.rerun()  # what they made belongs to the lists below


def _line(job: data_pb2.DataJob) -> None:
    if job.state == data_pb2.DATA_JOB_STATE_SUCCEEDED:
        rows = say(f"{job.rows:,} 行", f"{job.rows:,} rows")
        st.success(f"{job.dataset_version} · {rows}", icon=":material/check:")
    elif job.state == data_pb2.DATA_JOB_STATE_FAILED:
        st.error(f"{job.dataset}: {localized(job.failure.message)}", icon=":material/error:")
    elif job.state == data_pb2.DATA_JOB_STATE_CANCELLED:
        st.info(f"{job.dataset}: " + say("中止しました。", "It was cancelled."))
    else:
        _bar(job)


def _turn_to(job: data_pb2.DataJob) -> None:
    st.query_params["job"] = job.name.removeprefix("dataJobs/")
    st.rerun()


def _show_job(name: str) -> None:
    """While it works, once a second."""
    with problems_shown():
        job = signed_in_client().datasets.job(name)
        if job.state not in ENDED:
            st.fragment(_progress, run_every=1)(job.name)
        else:
            _ended(job)


def show_running(shown: list[str]) -> None:
    """Jobs that are at work besides those that are shown, so that nobody has to keep an address."""
    found = islice(signed_in_client().datasets.jobs(), _LOOKED_AT)
    running = [job for job in found if job.state not in ENDED and job.name.removeprefix("dataJobs/") not in shown]
    for job in running:
        left, right = st.columns([4, 1])
        left.write(f"{words.job_kind(job.kind)} · {job.dataset} · {words.job_phase(job)}")
        if right.button(say("表示", "Show"), key=f"show-{job.name}"):
            _turn_to(job)


def _progress(name: str) -> None:
    with problems_shown():
        client = signed_in_client()
        job = client.datasets.job(name)
        if job.state in ENDED:
            st.rerun()
        _bar(job)
        if st.button(say("中止する", "Cancel")):
            client.datasets.cancel_job(name)


def _bar(job: data_pb2.DataJob) -> None:
    now = progress_of(job)
    share = min(now.done / now.total, 1.0) if now.total else 0.0
    rows = say(f"{job.rows:,} 行", f"{job.rows:,} rows") if job.rows else ""
    st.progress(share, text=f"{words.job_phase(job)} · {job.dataset}" + (f" · {rows}" if rows else ""))


def _ended(job: data_pb2.DataJob) -> None:
    if job.state == data_pb2.DATA_JOB_STATE_SUCCEEDED:
        _SUCCEEDED.get(job.kind, _succeeded_check)(job)
    elif job.state == data_pb2.DATA_JOB_STATE_FAILED:
        st.error(localized(job.failure.message), icon=":material/error:")
        if job.failure.reason == "DATA_INVALID":
            show_report(job.name)
    else:
        st.info(say("中止しました。", "It was cancelled."))
    if job.upload:
        _again(job)
    if st.button(say("閉じる", "Close"), key="close-job"):
        st.query_params.pop("job", None)
        st.rerun()


def _succeeded_check(job: data_pb2.DataJob) -> None:
    done = say("取り込み完了", "Import complete") if job.source else say("アップロード完了", "Upload complete")
    st.success(f"{done}: {job.dataset_version}", icon=":material/check:")
    _next(job.dataset_version)
    show_report(job.name)


def _succeeded_preparation(job: data_pb2.DataJob) -> None:
    st.success(say("前処理完了", "Preparation complete") + f": {job.dataset_version}", icon=":material/check:")
    held_out = [version for version in (job.validation_version, job.test_version) if version]
    if held_out:
        st.caption(say("取り分けた行: ", "Held out: ") + ", ".join(held_out))
    st.dataframe(
        [
            {
                say("処理", "step"): step.name,
                say("処理前", "before"): step.rows_in,
                say("処理後", "after"): step.rows_out,
                say("変更", "changed"): step.changed_rows,
            }
            for step in job.steps
        ],
        hide_index=True,
    )
    _next(job.dataset_version)


def _succeeded_count(job: data_pb2.DataJob) -> None:
    st.success(say("計数完了", "Counted") + f": {job.dataset_version}", icon=":material/check:")


_SUCCEEDED = {
    data_pb2.DATA_JOB_KIND_PREPARATION: _succeeded_preparation,
    data_pb2.DATA_JOB_KIND_TOKEN_COUNT: _succeeded_count,
}


def _next(version: str) -> None:
    st.page_link(
        "screens/finetune.py",
        label=say("このデータでファインチューニング", "Fine-tune with it"),
        icon=":material/tune:",
        query_params={"data": version},
    )


def _again(job: data_pb2.DataJob) -> None:
    label = say("別の設定で検証し直す", "Check it again in another way")
    with st.expander(label, expanded=job.state == data_pb2.DATA_JOB_STATE_FAILED):
        st.caption(say("ファイルを送信し直す必要はありません。", "The file need not be sent again."))
        reading = reading_options("again")
        if st.button(say("検証し直す", "Check again"), type="primary"):
            upload = signed_in_client().uploads.get(job.upload)
            check([SentFile(upload=upload.name, filename=upload.filename)], job.dataset, reading)
