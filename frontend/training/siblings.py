"""The jobs of one sweep side by side, and what a job was made from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import streamlit as st
from aift.hyperparameters import as_settings
from aift.training.v1 import training_pb2

from frontend import wording
from frontend.session import say, signed_in_client
from frontend.training import words

_MOST = 100


def show_siblings(job: training_pb2.TrainingJob) -> None:
    """Every job of the sweep with what differs and its held-out loss, the best first."""
    jobs = list(islice(signed_in_client().training.list(sweep=job.sweep), _MOST))
    st.dataframe(
        [_row(each, job.name, differing(jobs)) for each in sorted(jobs, key=_loss)],
        hide_index=True,
        column_config={
            "job": st.column_config.LinkColumn(say("ジョブ", "job"), display_text=r".*name=(.*)$"),
        },
    )


def show_spec(job: training_pb2.TrainingJob) -> None:
    """Names, and every hyperparameter as it was resolved; with what was changed where memory was not enough."""
    spec = job.spec
    names = {
        say("トレーニングデータ", "Training data"): spec.dataset_version,
        say("評価用データ", "Held-out data"): spec.eval_dataset_version,
        say("ベースモデル", "Base model"): spec.base_model,
        say("学習済みの版", "Trained version"): spec.start_from,
        say("モデル", "Model"): spec.model,
        say("プロセス数", "Processes"): str(spec.processes or ""),
        say("優先度", "Priority"): str(job.priority or ""),
    }
    st.dataframe([{"": name, " ": value} for name, value in names.items() if value], hide_index=True, width="content")
    changed = as_settings(job.adjustments)
    label, value, later = say("項目", "setting"), say("値", "value"), say("メモリ不足で変更", "changed for memory")
    st.dataframe(
        [
            {label: words.field(name), "": name, value: str(given)}
            | ({later: str(changed.get(name, ""))} if changed else {})
            for name, given in as_settings(spec.hyperparameters).items()
        ],
        hide_index=True,
        width="content",
    )


def differing(jobs: Sequence[training_pb2.TrainingJob]) -> list[str]:
    """The settings in which the jobs differ; "data" and "base_model" among them."""
    made = [_settings(job) for job in jobs]
    names = dict.fromkeys(name for settings in made for name in settings)
    return [name for name in names if len({str(settings.get(name)) for settings in made}) > 1]


def _settings(job: training_pb2.TrainingJob) -> dict[str, object]:
    names = {"data": job.spec.dataset_version, "base_model": job.spec.base_model, "start_from": job.spec.start_from}
    return {**names, **as_settings(job.spec.hyperparameters)}


def _row(job: training_pb2.TrainingJob, shown: str, names: Sequence[str]) -> dict[str, object]:
    settings, progress = _settings(job), job.progress
    return {
        "": "→" if job.name == shown else "",
        "job": f"/job?name={job.name.removeprefix('trainingJobs/')}",
        say("状態", "state"): wording.job_state(job.state),
        **{words.field(name): str(settings.get(name, "")) for name in names},
        words.measured("eval_loss"): round(job.metrics["eval_loss"], 4) if "eval_loss" in job.metrics else None,
        words.measured("loss"): f"{loss:.4f}" if (loss := progress.loss or job.metrics.get("loss", 0.0)) else "–",
        say("ステップ", "step"): f"{progress.step:,} / {progress.total_steps:,}",
    }


def _loss(job: training_pb2.TrainingJob) -> float:
    return job.metrics.get("eval_loss", float("inf"))
