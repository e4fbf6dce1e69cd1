"""One training job, live. The address names it; closing or reloading the page changes nothing."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st
from aift.jobs import ENDED
from aift.training.v1 import training_pb2

from frontend import wording
from frontend.session import localized, problems_shown, say, signed_in_client

_CHART_POINTS = 500
_LOG_LINES = 200
_PAUSABLE = (training_pb2.TRAINING_JOB_STATE_PROVISIONING, training_pb2.TRAINING_JOB_STATE_RUNNING)


def show() -> None:
    """The page."""
    name = st.query_params.get("name", "")
    if not name:
        st.page_link(
            "screens/dashboard.py",
            label=say("ダッシュボードからジョブを選んでください。", "Choose a job on the dashboard."),
        )
        return
    st.title(say(f"ジョブ {name}", f"Job {name}"))
    _live(name)


@st.fragment(run_every=2)
def _live(name: str) -> None:
    with problems_shown():
        job = signed_in_client().training.get(name)
        _state(job)
        _buttons(job)
        charts, samples, log = st.tabs([say("グラフ", "Charts"), say("生成例", "Samples"), say("ログ", "Log")])
        with charts:
            _charts(name)
        events = _events(job)
        with samples:
            _samples(events)
        with log:
            lines = [line for event in events for line in event.log.lines]
            st.code("\n".join(lines[-_LOG_LINES:]) or "…", language=None)


def _state(job: training_pb2.TrainingJob) -> None:
    progress = job.progress
    if job.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
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
    elif job.state == training_pb2.TRAINING_JOB_STATE_FAILED:
        st.error(f"{localized(job.failure.message)}\n\n`{job.failure.reason}`", icon=":material/error:")
    else:
        done = progress.step / progress.total_steps if progress.total_steps else 0.0
        text = f"{wording.job_state(job.state)} · {wording.phase(progress.phase)}"
        if progress.total_steps:
            text += f" · {progress.step:,} / {progress.total_steps:,}"
        if progress.HasField("remaining"):
            text += " · " + say("残り ", "left ") + wording.duration(progress.remaining.seconds)
        st.progress(min(done, 1.0), text=text)
    loss, speed, elapsed, attempt = st.columns(4)
    newest = progress.loss or job.metrics.get("loss", 0.0)
    loss.metric(say("損失", "Loss"), f"{newest:.4f}" if newest else "–")
    speed.metric(
        say("トークン/秒", "Tokens/s"), f"{progress.tokens_per_second:,.0f}" if progress.tokens_per_second else "–"
    )
    elapsed.metric(say("経過", "Elapsed"), wording.duration(wording.seconds_between(job.start_time, job.end_time)))
    attempt.metric(say("試行", "Attempt"), job.attempt)
    if job.metrics:
        st.dataframe([{name: round(value, 4) for name, value in sorted(job.metrics.items())}], hide_index=True)


def _buttons(job: training_pb2.TrainingJob) -> None:
    if job.state in ENDED:
        return
    pause, cancel, _ = st.columns([1, 1, 4])
    training = signed_in_client().training
    if job.state == training_pb2.TRAINING_JOB_STATE_PAUSED:
        if pause.button(say("再開", "Resume"), icon=":material/play_arrow:"):
            training.resume(job.name)
    elif pause.button(say("一時停止", "Pause"), icon=":material/pause:", disabled=job.state not in _PAUSABLE):
        training.pause(job.name)
    if cancel.button(say("取り消す", "Cancel"), icon=":material/stop:"):
        training.cancel(job.name)


def _charts(name: str) -> None:
    metrics = signed_in_client().training.metrics(name, max_points=_CHART_POINTS)
    series: dict[str, list[dict[str, float]]] = defaultdict(list)
    for metric in metrics:
        for key, value in metric.values.items():
            series[key].append({"step": metric.step, key: value})
    if not series:
        st.caption(say("最初のステップを待っています。", "Waiting for the first step."))
    shown = [key for key in ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second") if key in series]
    columns = st.columns(2)
    for number, key in enumerate(shown):
        with columns[number % 2]:
            st.caption(key)
            st.line_chart(series[key], x="step", y=key, height=220)


def _events(job: training_pb2.TrainingJob) -> list[training_pb2.TrainingEvent]:
    """Everything so far; what this visit has seen already is kept, so that only news is fetched."""
    seen: list[training_pb2.TrainingEvent] = st.session_state.setdefault(f"events {job.uid}", [])
    last = seen[-1].sequence if seen else 0
    if last < job.last_sequence:
        for event in signed_in_client().training.watch(job.name, after_sequence=last):
            seen.append(event)
            if event.sequence >= job.last_sequence:
                break
    return seen


def _samples(events: list[training_pb2.TrainingEvent]) -> None:
    samples = [event.sample for event in events if event.HasField("sample")]
    if not samples:
        st.caption(say("まだ生成例はありません。", "No samples yet."))
        return
    st.dataframe(
        [{"step": sample.step, "prompt": sample.prompt, "text": sample.text} for sample in samples], hide_index=True
    )


show()
