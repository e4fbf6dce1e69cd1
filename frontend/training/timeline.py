"""Attempts, checkpoints, losses and stalls of a job over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import streamlit as st
from aift.common.v1.blob_pb2 import LocalizedText
from aift.hyperparameters import as_settings
from aift.training.v1 import training_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from frontend import wording
from frontend.session import say, signed_in_client

_ROW_HEIGHT = 46
_AXES_HEIGHT = 60
_COLORS: Final = {
    training_pb2.TRAINING_JOB_STATE_QUEUED: "#c4c9d0",
    training_pb2.TRAINING_JOB_STATE_PROVISIONING: "#8fb8e8",
    training_pb2.TRAINING_JOB_STATE_RUNNING: "#1c6fe0",
    training_pb2.TRAINING_JOB_STATE_PAUSING: "#f0c36b",
    training_pb2.TRAINING_JOB_STATE_PAUSED: "#f7dfae",
    training_pb2.TRAINING_JOB_STATE_CANCELLING: "#e08a8a",
    training_pb2.TRAINING_JOB_STATE_PUBLISHING: "#2aa198",
}


def show_timeline(job: training_pb2.TrainingJob, marks: Sequence[training_pb2.TrainingEvent]) -> None:
    """A chart with a row for each attempt, and the same as a list, newest first."""
    if not marks:
        return
    st.vega_lite_chart(_chart(marks, job), width="stretch")
    st.dataframe(
        [
            {
                say("時刻", "time"): _moment(event.time).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                say("試行", "attempt"): event.attempt,
                say("出来事", "event"): described(event),
            }
            for event in reversed(marks)
        ],
        hide_index=True,
    )


def show_checkpoints(job: training_pb2.TrainingJob) -> None:
    """Those that are kept, newest first."""
    checkpoints = signed_in_client().training.checkpoints(job.name)
    if not checkpoints:
        st.caption(say("保存されているチェックポイントはありません。", "No checkpoint is kept."))
        return
    st.dataframe(
        [
            {
                say("ステップ", "step"): checkpoint.step,
                say("サイズ", "size"): wording.size(checkpoint.size_bytes),
                say("試行", "attempt"): checkpoint.attempt,
                say("作成", "created"): wording.when(checkpoint.create_time),
            }
            for checkpoint in checkpoints
        ],
        hide_index=True,
    )


def described(event: training_pb2.TrainingEvent) -> str:
    """One event in words."""
    kind = event.WhichOneof("content")
    if kind == "checkpoint":
        step, size = event.checkpoint.step, wording.size(event.checkpoint.size_bytes)
        return say(f"チェックポイント（ステップ {step:,}、{size}）", f"Checkpoint at step {step:,} ({size})")
    if kind == "recovery":
        return _recovery(event.recovery)
    if kind == "stall":
        silence, step = wording.duration(event.stall.silence.seconds), event.stall.step
        return say(f"ステップ {step:,} で {silence} 進まず", f"Nothing moved for {silence} at step {step:,}")
    text = wording.job_state(event.state_changed.state)
    failure = event.state_changed.failure
    return f"{text}: {_plain(failure.message)} [{failure.reason}]" if failure.reason else text


def _recovery(recovery: training_pb2.Recovery) -> str:
    cause = _plain(recovery.cause.message) or recovery.cause.reason
    text = say(
        f"試行が失われ、ステップ {recovery.from_step:,} から続行: {cause}",
        f"An attempt was lost, going on from step {recovery.from_step:,}: {cause}",
    )
    changes = ", ".join(f"{name}={value}" for name, value in as_settings(recovery.adjustments).items())
    return f"{text} ({changes})" if changes else text


def _plain(message: LocalizedText) -> str:
    return say(message.ja or message.en, message.en or message.ja)


def _chart(marks: Sequence[training_pb2.TrainingEvent], job: training_pb2.TrainingJob) -> dict[str, object]:
    spans = _spans(marks, job)
    points = [
        {
            "at": _moment(event.time).isoformat(),
            "attempt": event.attempt,
            "kind": _kind(event),
            "text": described(event),
        }
        for event in marks
        if not event.HasField("state_changed")
    ]
    attempt = {"field": "attempt", "type": "ordinal", "title": say("試行", "attempt")}
    time = {"type": "temporal", "title": None}
    bars = {
        "data": {"values": spans},
        "mark": {"type": "bar", "height": 16},
        "encoding": {
            "x": {"field": "from", **time},
            "x2": {"field": "to"},
            "y": attempt,
            "color": {
                "field": "state",
                "type": "nominal",
                "title": None,
                "legend": {"orient": "top"},
                "scale": _colors(spans),
            },
            "tooltip": [{"field": "state"}, {"field": "lasted"}],
        },
    }
    shapes = {
        "data": {"values": points},
        "mark": {"type": "point", "filled": True, "size": 90, "yOffset": 14, "color": "#777"},
        "encoding": {
            "x": {"field": "at", **time},
            "y": attempt,
            "shape": {"field": "kind", "type": "nominal", "title": None, "legend": {"orient": "top"}},
            "tooltip": [{"field": "text"}],
        },
    }
    rows = len({span["attempt"] for span in spans})
    return {"layer": [bars, shapes] if points else [bars], "height": _AXES_HEIGHT + rows * _ROW_HEIGHT}


def _colors(spans: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Each state has its colour for good; those that did not occur have no legend."""
    occurred = {span["state"] for span in spans}
    shown = {name: color for state, color in _COLORS.items() if (name := wording.job_state(state)) in occurred}
    return {"domain": list(shown), "range": list(shown.values())}


def _spans(marks: Sequence[training_pb2.TrainingEvent], job: training_pb2.TrainingJob) -> list[dict[str, object]]:
    """How long each state lasted; the last one until now, unless it is the end."""
    changes = [event for event in marks if event.HasField("state_changed")]
    end = _moment(job.end_time) if job.end_time.seconds else datetime.now(UTC)
    until = [_moment(event.time) for event in changes[1:]] + [end]
    return [
        {
            "from": _moment(event.time).isoformat(),
            "to": later.isoformat(),
            "attempt": event.attempt,
            "state": wording.job_state(event.state_changed.state),
            "lasted": wording.duration((later - _moment(event.time)).total_seconds()),
        }
        for event, later in zip(changes, until, strict=True)
        if later > _moment(event.time)
    ]


def _kind(event: training_pb2.TrainingEvent) -> str:
    return {
        "checkpoint": say("チェックポイント", "checkpoint"),
        "recovery": say("試行の喪失と続行", "attempt lost, gone on"),
        "stall": say("停滞", "stall"),
    }.get(event.WhichOneof("content") or "", "")


def _moment(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)
