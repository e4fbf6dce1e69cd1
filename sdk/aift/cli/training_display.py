"""A running job on the terminal: bar, loss, tokens per second, time left; plain lines where it is no terminal."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from aift.cli.output import in_time, word
from aift.language import localized, text
from aift.training.v1 import training_pb2

_PHASES = {
    training_pb2.TRAINING_PHASE_FETCHING: ("fetching model and data", "モデルとデータを取得中"),
    training_pb2.TRAINING_PHASE_LOADING_MODEL: ("loading the model", "モデルを読み込み中"),
    training_pb2.TRAINING_PHASE_PREPARING_DATA: ("preparing data", "データを準備中"),
    training_pb2.TRAINING_PHASE_TRAINING: ("training", "学習中"),
    training_pb2.TRAINING_PHASE_EVALUATING: ("evaluating", "評価中"),
    training_pb2.TRAINING_PHASE_SAVING: ("saving", "保存中"),
}
_STATES = {
    training_pb2.TRAINING_JOB_STATE_QUEUED: ("queued", "待機中"),
    training_pb2.TRAINING_JOB_STATE_PROVISIONING: ("starting", "開始処理中"),
    training_pb2.TRAINING_JOB_STATE_RUNNING: ("running", "実行中"),
    training_pb2.TRAINING_JOB_STATE_PUBLISHING: ("registering the model", "モデルを登録中"),
    training_pb2.TRAINING_JOB_STATE_SUCCEEDED: ("succeeded", "完了"),
    training_pb2.TRAINING_JOB_STATE_FAILED: ("failed", "失敗"),
    training_pb2.TRAINING_JOB_STATE_CANCELLED: ("cancelled", "中止"),
    training_pb2.TRAINING_JOB_STATE_PAUSING: ("pausing", "一時停止処理中"),
    training_pb2.TRAINING_JOB_STATE_PAUSED: ("paused", "一時停止"),
    training_pb2.TRAINING_JOB_STATE_CANCELLING: ("cancelling", "中止処理中"),
}
_LINE_EVERY_S = 5.0
_GIB = 1 << 30


def state_word(state: training_pb2.TrainingJobState.ValueType) -> str:
    """A job's state in the terminal's language."""
    known = training_pb2.TrainingJobState.Name
    return text(*_STATES[state]) if state in _STATES else word(known(state), "TRAINING_JOB_STATE_")


def _gpu(share: float, used_bytes: float) -> str:
    return f"GPU {share:.0%} {used_bytes / _GIB:.1f} GiB"


class TrainingDisplay:
    """Takes a job's events and shows where it stands."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[numbers]}"), console=console
        )
        self._task: TaskID | None = None
        self._step = 0
        self._total = 0
        self._values: dict[str, float] = {}
        self._remaining_s: float | None = None
        self._said = ""
        self._printed = ""
        self._said_at = 0.0

    def show(self, event: training_pb2.TrainingEvent) -> None:
        """One event."""
        kind = event.WhichOneof("content")
        if kind == "state_changed":
            self._take_state(event.state_changed.state)
        elif kind == "progress":
            self._take_progress(event.progress)
        elif kind == "metric":
            self._take_metric(event.metric)
        elif kind == "checkpoint":
            step = f"{event.checkpoint.step:,}"
            self._remark(text(f"checkpoint at step {step}", f"ステップ {step} のチェックポイントを保存しました"))
        elif kind == "sample":
            self._remark(
                text(f"sample at step {event.sample.step}: ", f"ステップ {event.sample.step} の出力例: ")
                + event.sample.text
            )
        elif kind == "recovery":
            cause = localized(event.recovery.cause.message) or event.recovery.cause.reason
            self._remark(
                text(
                    f"an attempt was lost ({cause}); going on from step {event.recovery.from_step:,}",
                    f"実行が途切れました({cause})。ステップ {event.recovery.from_step:,} から続けます",
                )
            )

        elif kind == "stall":
            seconds, step = event.stall.silence.seconds, f"{event.stall.step:,}"
            self._remark(
                text(
                    f"nothing has moved for {seconds:,} s at step {step}; see aift jobs logs, or cancel",
                    f"ステップ {step} で {seconds:,} 秒間進んでいません。ログを確認するか、中止してください",
                )
            )

    def _take_state(self, state: training_pb2.TrainingJobState.ValueType) -> None:
        self._remaining_s = None
        self._headline(state_word(state))

    def _take_progress(self, progress: training_pb2.TrainingProgress) -> None:
        self._step, self._total = progress.step, progress.total_steps
        if progress.HasField("remaining"):
            self._remaining_s = progress.remaining.seconds
        if progress.loss:
            self._values["loss"] = progress.loss
        if progress.tokens_per_second:
            self._values["tokens_per_second"] = progress.tokens_per_second
        if progress.phase in _PHASES:
            self._headline(text(*_PHASES[progress.phase]))
        else:
            self._refresh()

    def _take_metric(self, metric: training_pb2.Metric) -> None:
        self._step = max(self._step, metric.step)
        self._values.update(metric.values)
        self._refresh()

    def _numbers(self) -> str:
        parts = []
        if self._total:
            parts.append(f"{self._step:,}/{self._total:,}")
        if "loss" in self._values:
            parts.append(f"loss {self._values['loss']:.3f}")
        if "tokens_per_second" in self._values:
            parts.append(f"{self._values['tokens_per_second']:,.0f} tok/s")
        if "gpu_utilization" in self._values:
            parts.append(_gpu(self._values["gpu_utilization"], self._values.get("gpu_memory_used_bytes", 0.0)))
        if self._remaining_s is not None and self._step < self._total:
            parts.append(text("{} left", "残り {}").format(in_time(self._remaining_s)))
        return " · ".join(parts)

    def _headline(self, words: str) -> None:
        changed, self._said = words != self._said, words
        if changed and not self._live:
            self._print_line()
        self._refresh()

    def _refresh(self) -> None:
        if self._live and self._task is not None:
            self._progress.update(
                self._task,
                description=self._said,
                completed=self._step,
                total=self._total or None,
                numbers=self._numbers(),
            )
        elif not self._live and time.monotonic() - self._said_at > _LINE_EVERY_S:
            self._print_line()

    def _print_line(self) -> None:
        self._said_at = time.monotonic()
        line = " · ".join(part for part in (self._said, self._numbers()) if part)
        if line != self._printed:
            self._printed = line
            self._console.print(line, markup=False)

    def _remark(self, words: str) -> None:
        indented = words.replace("\n", "\n  ")
        self._console.print(f"  {indented}", style="dim", markup=False)

    def __enter__(self) -> "TrainingDisplay":
        if self._live:
            self._task = self._progress.add_task("", total=None, numbers="")
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()
