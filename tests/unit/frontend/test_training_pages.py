"""Parts of the fine-tune page and the job page: what is shown of which setting, and what events become."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
from aift import AiftError, Client
from aift.data.v1 import data_pb2
from aift.errors import invalid
from aift.hyperparameter_help import HELP
from aift.hyperparameters import FIELDS, choices, hyperparameters
from aift.presets import PRESETS, USUAL
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2

from frontend import session
from frontend.training import (
    charts,
    draft,
    history,
    log,
    objective,
    rows,
    settings,
    siblings,
    standing,
    timeline,
    words,
)
from frontend.training.start import Start
from services.text.rows import Form
from services.training_service.admission import forms_of
from services.training_service.trainer.hyperparameters import Hyperparameters, Objective

ADAPTER = Start(base=registry_pb2.BaseModel(), version=registry_pb2.ModelVersion(kind=registry_pb2.MODEL_KIND_ADAPTER))
BASE = Start(base=registry_pb2.BaseModel())


def event(seconds: int, attempt: int = 1, **content: object) -> training_pb2.TrainingEvent:
    made = training_pb2.TrainingEvent(sequence=seconds, attempt=attempt, **content)  # type: ignore[arg-type]
    made.time.seconds = seconds
    return made


def state(name: str) -> training_pb2.StateChanged:
    return training_pb2.StateChanged(state=training_pb2.TrainingJobState.Value(f"TRAINING_JOB_STATE_{name}"))


def test_every_hyperparameter_of_the_contract_has_a_field_with_help() -> None:
    placed = [*settings._MAIN, *(name for names in settings.groups().values() for name in names), "objective"]
    assert sorted(placed) == sorted(FIELDS)
    assert set(FIELDS) <= set(HELP)
    assert all(settings.applies(name, "lora", "dpo", BASE) for name in FIELDS)
    assert [name for name in settings.groups().get("other", ()) if words.field(name) == name] == []


def test_an_adapter_that_goes_on_keeps_what_it_is_made_of() -> None:
    assert not settings.applies("lora_r", "lora", "sft", ADAPTER)
    assert settings.applies("lora_dropout", "lora", "sft", ADAPTER)
    assert ADAPTER.methods == ("lora", "qlora")
    assert not settings.applies("lora_dropout", "full", "sft", BASE)
    assert not settings.applies("beta", "lora", "sft", BASE)


def test_presets_are_valid_settings_and_the_usual_ones_are_the_defaults() -> None:
    for preset in PRESETS:
        assert hyperparameters({**USUAL, **preset.settings}).lora_r == preset.settings["lora_r"]
    defaults = Hyperparameters()
    assert {name: getattr(defaults, name) for name in USUAL} == dict(USUAL)
    assert [preset.label for preset in PRESETS] == ["8 GB", "16 GB", "24 GB", "40 GB", "80 GB", "32B"]


@pytest.mark.parametrize("word", get_args(Objective))
def test_data_that_fit_an_objective_are_those_that_the_service_takes(word: Objective) -> None:
    for form in Form:
        value = data_pb2.RowForm.Value(f"ROW_FORM_{form.name}")
        assert objective.fits(word, value) == (form in forms_of(word))
    assert word in choices("objective")


def test_clicks_in_a_row_mean_one_job_and_a_later_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "st", SimpleNamespace(session_state={}, query_params={}))
    page = draft.Draft()
    first = page.intent("a")
    page.not_clicked()  # the call failed, and nobody knows whether the job was made
    assert page.intent("a") == first
    page.succeeded()
    assert page.intent("a") == first  # the second click of two
    page.succeeded()
    page.not_clicked()
    second = page.intent("a")
    assert second != first
    assert page.intent("b") != second


@pytest.mark.parametrize(
    ("state", "progress", "share", "told"),
    [
        ("RUNNING", {"phase": "LOADING_MODEL", "phase_fraction": 0.4}, 0.4, "学習中 · モデルを読み込み中 40%"),
        (
            "RUNNING",
            {"phase": "EVALUATING", "phase_fraction": 0.5, "step": 30, "total_steps": 60},
            0.5,
            "学習中 · 評価中 50% · 30 / 60",
        ),
        ("RUNNING", {"phase": "TRAINING", "step": 30, "total_steps": 60}, 0.5, "学習中 · 30 / 60"),
        ("PAUSED", {"phase": "SAVING", "step": 30, "total_steps": 60}, 0.5, "一時停止中 · 30 / 60"),
        ("PROVISIONING", {"phase": "SAVING"}, 0.0, "準備中"),
    ],
)
def test_each_phase_moves_the_bar_and_is_told_while_it_lasts(
    state: str, progress: dict[str, Any], share: float, told: str
) -> None:
    phase = training_pb2.TrainingPhase.Value(f"TRAINING_PHASE_{progress.pop('phase')}")
    job = training_pb2.TrainingJob(
        state=training_pb2.TrainingJobState.Value(f"TRAINING_JOB_STATE_{state}"),
        progress=training_pb2.TrainingProgress(phase=phase, **progress),
    )
    assert standing.told(job) == (pytest.approx(share), told)


def test_what_comes_after_is_shown_once_it_was_measured() -> None:
    job = training_pb2.TrainingJob(metrics={"eval_loss": 8.148, "base_eval_loss": 8.148, "loss": 8.0})
    seen = history.History()
    seen.take(event(1, metric=training_pb2.Metric(step=0, values={"eval_loss": 8.148})))
    seen.take(event(2, metric=training_pb2.Metric(step=1, values={"loss": 8.0})))
    assert standing.before_and_after(job, seen.evaluated_step) == [{"評価": "評価損失", "学習前": 8.148}]
    seen.take(event(3, metric=training_pb2.Metric(step=5, values={"eval_loss": 7.5})))
    job.metrics["eval_loss"] = 7.5
    assert standing.before_and_after(job, seen.evaluated_step) == [{"評価": "評価損失", "学習前": 8.148, "最新": 7.5}]


def test_a_link_to_data_that_are_gone_leaves_the_choice_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[AiftError] = []
    monkeypatch.setattr(rows, "st", SimpleNamespace(session_state={}))
    monkeypatch.setattr(session, "show_problem", told.append)
    with Client(token="t") as client:
        monkeypatch.setattr(client.datasets, "version", version_of_one)
        monkeypatch.setattr(client.datasets, "list", lambda: [data_pb2.Dataset(latest_version="datasets/a/versions/1")])
        asked = "datasets/nope/versions/9"
        assert rows.linked_version(client, asked) is None
        assert [version.name for version in rows._versions(client, asked)] == ["datasets/a/versions/1"]
    assert [error.reason for error in told] == ["NOT_FOUND"]


def version_of_one(name: str) -> data_pb2.DatasetVersion:
    """What a client finds where there is one data set."""
    if name != "datasets/a/versions/1":
        raise invalid("name", "NOT_FOUND", f"{name} is not there.", f"{name} がありません。")
    return data_pb2.DatasetVersion(name=name)


def test_a_refused_setting_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(session.st, "error", lambda text, **_: shown.append(text))
    with session.problems_shown():
        hyperparameters({"method": "foo"})
    assert shown[0].count("foo") == 1
    assert "`method`" in shown[0]


def test_a_chart_of_one_point_shows_it_with_few_digits() -> None:
    one, many = (charts.chart("loss", [{"step": step, "loss": 8.0} for step in range(count)]) for count in (1, 500))
    assert [cast("dict[str, object]", made["mark"])["point"] for made in (one, many)] == [True, False]


def test_a_history_keeps_what_is_shown_one_by_one() -> None:
    seen = history.History()
    seen.take(event(1, state_changed=state("RUNNING")))
    seen.take(event(2, metric=training_pb2.Metric(step=1, values={"loss": 2.0})))
    seen.take(event(3, log=training_pb2.LogLines(lines=["one", "Error two"], dropped_lines=4)))
    seen.take(event(4, sample=training_pb2.Sample(step=0, prompt="p", text="t")))
    assert (seen.read, len(seen.marks), seen.measured, seen.dropped_lines) == (4, 1, {"loss": 2.0}, 4)
    assert log.matching(seen.lines, "error TWO") == ["Error two"]
    assert [sample.text for sample in seen.samples] == ["t"]


def test_a_timeline_has_a_span_for_each_state_and_a_mark_for_each_loss() -> None:
    lost = training_pb2.Recovery(from_step=20, adjustments=training_pb2.Hyperparameters(gradient_checkpointing=True))
    lost.cause.reason = "WORKER_LOST"
    marks = [
        event(100, 0, state_changed=state("QUEUED")),
        event(105, 1, state_changed=state("RUNNING")),
        event(140, 1, recovery=lost),
        event(141, 2, state_changed=state("RUNNING")),
        event(150, 2, stall=training_pb2.Stall(step=30)),
        event(160, 2, state_changed=state("SUCCEEDED")),
    ]
    job = training_pb2.TrainingJob()
    job.end_time.seconds = 160
    assert [span["attempt"] for span in timeline._spans(marks, job)] == [0, 1, 2]
    chart = timeline._chart(marks, job)
    assert len(chart["layer"]) == 2  # type: ignore[arg-type]
    assert all(part in timeline.described(marks[2]) for part in ("20", "WORKER_LOST", "gradient_checkpointing=True"))


def test_charts_have_a_series_for_each_metric() -> None:
    metrics = [
        training_pb2.Metric(
            step=step, values={"loss": 1.0 / step, "memory_bytes": float(3 << 30), "gpu_utilization": 0.5}
        )
        for step in (1, 2)
    ]
    series = charts.series_of(metrics)
    assert series["loss"] == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    assert series["memory_bytes"][0]["memory_bytes"] == 3.0
    assert series["gpu_utilization"][0]["gpu_utilization"] == 50.0


def test_jobs_of_a_sweep_show_only_what_differs() -> None:
    jobs = [
        training_pb2.TrainingJob(
            spec=training_pb2.TrainingSpec(
                dataset_version="datasets/a/versions/1",
                hyperparameters=training_pb2.Hyperparameters(lora_r=rank, seed=1),
            )
        )
        for rank in (4, 8)
    ]
    assert siblings.differing(jobs) == ["lora_r"]
