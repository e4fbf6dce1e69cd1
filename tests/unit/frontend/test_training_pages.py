"""Parts of the fine-tune page and the job page: what is shown of which setting, and what events become."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest
from aift.data.v1 import data_pb2
from aift.hyperparameter_help import HELP
from aift.hyperparameters import FIELDS, choices, hyperparameters
from aift.presets import PRESETS, USUAL
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2

from frontend.training import charts, draft, history, log, objective, settings, siblings, standing, timeline
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
    ("progress", "share", "part"),
    [
        (
            training_pb2.TrainingProgress(phase=training_pb2.TRAINING_PHASE_LOADING_MODEL, phase_fraction=0.4),
            0.4,
            "40%",
        ),
        (
            training_pb2.TrainingProgress(
                phase=training_pb2.TRAINING_PHASE_EVALUATING, phase_fraction=0.5, step=30, total_steps=60
            ),
            0.5,
            "30 / 60",
        ),
        (training_pb2.TrainingProgress(), 0.0, ""),
    ],
)
def test_each_phase_moves_the_bar(progress: training_pb2.TrainingProgress, share: float, part: str) -> None:
    filled, text = standing.told(progress)
    assert filled == pytest.approx(share)
    assert part in text


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
