"""What people at a terminal see of a training that they started themselves: the events, a line each."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from services.training_service.trainer import events

_PHASES: dict[events.Phase, tuple[str, str]] = {
    "loading_model": ("loading the model", "モデルを読み込み中"),
    "preparing_data": ("preparing the data", "データを準備中"),
    "training": ("training", "学習中"),
    "evaluating": ("evaluating", "評価中"),
    "saving": ("saving", "保存中"),
}
_MEASURED: dict[str, tuple[str, str]] = {
    "loss": ("loss", "損失"),
    "tokens_per_second": ("tokens/s", "トークン/秒"),
    "eval_loss": ("held-out loss", "評価損失"),
    "eval_perplexity": ("perplexity", "パープレキシティ"),
    "eval_reward_accuracy": ("held-out reward accuracy", "評価の報酬の正解率"),
}


_LANGUAGE = ("AIFT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


class Console:
    """Prints to standard error, in the terminal's language."""

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        self._phase: events.Phase | None = None
        self._total_steps = 0

    def show(self, event: events.Event) -> None:
        """Prints what an event says, where it says anything new."""
        with suppress(OSError):  # the training goes on where nobody watches any more
            for line in self._lines(event):
                print(line, file=sys.stderr, flush=True)

    def _lines(self, event: events.Event) -> list[str]:
        match event:
            case events.Progress():
                return self._progress(event)
            case events.Metric():
                return [self._metric(event)]
            case events.Checkpoint():
                saved = self._output_dir / event.path
                return [_text(f"checkpoint: {saved}", f"チェックポイント: {saved}")]
            case events.Log():
                return event.lines
            case events.Finished():
                return [self._finished(event)]
            case events.Failed():
                return [_text(f"error: {event.en} [{event.reason}]", f"エラー: {event.ja} [{event.reason}]")]
            case events.Sample():
                return []

    def _progress(self, event: events.Progress) -> list[str]:
        self._total_steps = event.total_steps or self._total_steps
        if event.phase == self._phase:
            return []
        self._phase = event.phase
        return [_text(*_PHASES[event.phase])]

    def _metric(self, event: events.Metric) -> str:
        step = _text("step", "ステップ") + f" {event.step:,}/{self._total_steps:,}"
        measured = [
            f"{_text(*words)} {event.values[name]:,.5g}" for name, words in _MEASURED.items() if name in event.values
        ]
        return "  " + " · ".join([step, *measured])

    def _finished(self, event: events.Finished) -> str:
        result, kept = self._output_dir / "model", self._output_dir / "checkpoints" / f"step-{event.step}"
        if event.outcome == "succeeded":
            return _text(f"done: {result}", f"完了: {result}")
        if event.outcome == "stopped" or not event.step:
            return _text("ended before a result; nothing is kept", "結果が出る前に終了しました。何も残していません")
        return _text(
            f"ended at step {event.step:,}; to go on, set checkpoint in the job file to {kept}",
            f"ステップ {event.step:,} で終了しました。続けるにはジョブファイルの checkpoint を {kept} にしてください",
        )


def _text(en: str, ja: str) -> str:
    """As aift.language chooses, which stays outside: a trainer knows nothing of the SDK."""
    language = next((value for name in _LANGUAGE if (value := os.environ.get(name))), "en")
    return ja if language.lower().startswith("ja") else en
