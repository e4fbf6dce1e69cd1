"""Where a job stands: state, phase, steps, time left, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st
from aift.jobs import ENDED
from aift.training.v1 import training_pb2

from frontend import wording
from frontend.session import localized, say, signed_in_client
from frontend.training import words
from frontend.training.history import History

_QUEUED = training_pb2.TRAINING_JOB_STATE_QUEUED
_SILENT_S = 15


def show_standing(job: training_pb2.TrainingJob, history: History) -> None:
    """The end or the way to it, and the newest figures."""
    if job.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
        _succeeded(job)
    elif job.state == training_pb2.TRAINING_JOB_STATE_FAILED:
        st.error(f"{localized(job.failure.message)}\n\n`{job.failure.reason}`", icon=":material/error:")
    elif job.state == training_pb2.TRAINING_JOB_STATE_CANCELLED:
        st.info(say("取り消されました。", "It was cancelled."), icon=":material/stop:")
    else:
        _under_way(job, history)
    _figures(job, history)
    if measured := before_and_after(job, history.evaluated_step):
        st.dataframe(measured, hide_index=True, width="content")


def told(job: training_pb2.TrainingJob) -> tuple[float, str]:
    """How full the bar is and what it says. Each phase before the first step has a bar of its own."""
    progress, runs = job.progress, job.state == training_pb2.TRAINING_JOB_STATE_RUNNING
    trains = progress.total_steps > 0
    share = progress.step / progress.total_steps if trains else progress.phase_fraction
    parts = [wording.job_state(job.state)]
    if runs and progress.phase != training_pb2.TRAINING_PHASE_TRAINING:  # else it is an old one, or says the same again
        percent = f" {progress.phase_fraction:.0%}" if progress.phase_fraction else ""
        parts.append(wording.phase(progress.phase) + percent)
    if trains:
        parts.append(f"{progress.step:,} / {progress.total_steps:,}")
    if progress.HasField("remaining"):
        parts.append(say("残り ", "left ") + wording.duration(progress.remaining.seconds))
    return min(max(share, 0.0), 1.0), " · ".join(part for part in parts if part)


def _succeeded(job: training_pb2.TrainingJob) -> None:
    st.success(
        say(f"ファインチューニング完了: {job.model_version}", f"Fine-tuning complete: {job.model_version}"),
        icon=":material/check:",
    )
    st.page_link(
        "screens/generate.py",
        label=say("このモデルで生成", "Generate with it"),
        icon=":material/chat:",
        query_params={"model": job.model_version},
    )


def _under_way(job: training_pb2.TrainingJob, history: History) -> None:
    share, text = told(job)
    st.progress(share, text=text)
    if job.state == _QUEUED:
        _waiting()
        return
    stalls = [event for event in history.marks if event.HasField("stall") and event.attempt == job.attempt]
    if stalls and stalls[-1].stall.step >= job.progress.step and job.state == training_pb2.TRAINING_JOB_STATE_RUNNING:
        silence = wording.duration(stalls[-1].stall.silence.seconds)
        st.warning(
            say(
                f"{silence} の間、進んでいません。ログを確認し、必要なら一時停止または取り消してください。",
                f"Nothing has moved for {silence}. Look at the log; pause or cancel if need be.",
            ),
            icon=":material/hourglass_disabled:",
        )
    silent = (datetime.now(UTC) - job.update_time.ToDatetime(tzinfo=UTC)).total_seconds()
    if silent > _SILENT_S:
        st.caption(say("最後の知らせから ", "Last heard of ") + wording.duration(silent))


def _waiting() -> None:
    workers = signed_in_client().training.workers()
    if not workers:
        st.warning(
            say(
                "応答しているワーカーがありません。`aift status` で状態を確認してください。",
                "No worker was seen lately; `aift status` tells why.",
            )
        )
        return
    busy = sum(len(worker.training_jobs) for worker in workers)
    st.caption(
        say(
            f"ワーカーの空きを待っています（ワーカー {len(workers)} 台、実行中 {busy} 件）。",
            f"Waits for a worker ({len(workers)} there, {busy} job(s) running).",
        )
    )


def _figures(job: training_pb2.TrainingJob, history: History) -> None:
    loss, speed, elapsed, attempt = st.columns(4)
    # While it evaluates or saves, a job's progress has neither; the last step's stand.
    newest = job.progress.loss or history.measured.get("loss", 0.0)
    tokens = job.progress.tokens_per_second or history.measured.get("tokens_per_second", 0.0)
    loss.metric(say("損失", "Loss"), f"{newest:.4f}" if newest else "–")
    speed.metric(say("トークン/秒", "Tokens/s"), f"{tokens:,.0f}" if tokens else "–")
    elapsed.metric(say("経過", "Elapsed"), wording.duration(wording.seconds_between(job.start_time, job.end_time)))
    attempt.metric(say("試行", "Attempt"), job.attempt, job.worker or None, delta_arrow="off", delta_color="off")


def before_and_after(job: training_pb2.TrainingJob, evaluated_step: int) -> list[dict[str, object]]:
    """What was measured on the held-out rows, a row each: before, and beside it after, once there is such a step."""
    before, after = say("学習前", "before"), say("学習後", "after") if job.state in ENDED else say("最新", "now")
    rows: list[dict[str, object]] = []
    for name in sorted(name for name in job.metrics if name.startswith("eval_")):
        base = f"base_{name}"
        row: dict[str, object] = {say("評価", "held out"): words.measured(name)}
        row[before] = round(job.metrics[base], 4) if base in job.metrics else None
        rows.append(row | ({after: round(job.metrics[name], 4)} if evaluated_step else {}))
    return rows
