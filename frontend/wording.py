"""Numbers, times and states as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from aift.training.v1 import training_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from frontend.session import say

_KIB = 1024


def size(size_bytes: float) -> str:
    """Bytes in binary units, such as "1.5 GiB"."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TiB"


def duration(seconds: float) -> str:
    """Such as "1:02:03" or "4:05"."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def when(moment: Timestamp) -> str:
    """Local time to the minute; "" when it is not set."""
    if not moment.seconds:
        return ""
    return moment.ToDatetime(tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    """From start to end, or to now while there is no end; 0 before the start."""
    if not start.seconds:
        return 0.0
    until = end.ToDatetime(tzinfo=UTC) if end.seconds else datetime.now(UTC)
    return (until - start.ToDatetime(tzinfo=UTC)).total_seconds()


def job_state(state: training_pb2.TrainingJobState.ValueType) -> str:
    """A state in words."""
    words = {
        training_pb2.TRAINING_JOB_STATE_QUEUED: say("待機中", "Queued"),
        training_pb2.TRAINING_JOB_STATE_PROVISIONING: say("準備中", "Provisioning"),
        training_pb2.TRAINING_JOB_STATE_RUNNING: say("学習中", "Running"),
        training_pb2.TRAINING_JOB_STATE_PUBLISHING: say("登録中", "Publishing"),
        training_pb2.TRAINING_JOB_STATE_SUCCEEDED: say("完了", "Succeeded"),
        training_pb2.TRAINING_JOB_STATE_FAILED: say("失敗", "Failed"),
        training_pb2.TRAINING_JOB_STATE_CANCELLED: say("取り消し済み", "Cancelled"),
        training_pb2.TRAINING_JOB_STATE_PAUSING: say("一時停止の処理中", "Pausing"),
        training_pb2.TRAINING_JOB_STATE_PAUSED: say("一時停止中", "Paused"),
        training_pb2.TRAINING_JOB_STATE_CANCELLING: say("取り消しの処理中", "Cancelling"),
    }
    return words.get(state, "")


def phase(value: training_pb2.TrainingPhase.ValueType) -> str:
    """What a running job is at, in words."""
    words = {
        training_pb2.TRAINING_PHASE_FETCHING: say("モデルとデータを取得中", "Fetching model and data"),
        training_pb2.TRAINING_PHASE_LOADING_MODEL: say("モデルを読み込み中", "Loading the model"),
        training_pb2.TRAINING_PHASE_PREPARING_DATA: say("データを準備中", "Preparing data"),
        training_pb2.TRAINING_PHASE_TRAINING: say("学習中", "Training"),
        training_pb2.TRAINING_PHASE_EVALUATING: say("評価中", "Evaluating"),
        training_pb2.TRAINING_PHASE_SAVING: say("保存中", "Saving"),
    }
    return words.get(value, "")
