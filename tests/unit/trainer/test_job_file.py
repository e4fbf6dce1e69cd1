"""Job files: what is written comes back, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.text.problems import ProblemError
from services.training_service.trainer.job import load, parse, parse_hyperparameters

SMALLEST = {"base_model": {"path": "base"}, "dataset": {"path": "rows.jsonl"}}


def test_a_job_comes_back_as_it_was_written(tmp_path: Path) -> None:
    job = parse(SMALLEST | {"hyperparameters": {"lora_r": 8, "lora_target_modules": ["q_proj"], "learning_rate": 1}})
    path = tmp_path / "job.json"
    path.write_text(job.to_json(), encoding="utf-8")
    assert load(path) == job


def test_defaults_are_the_manuals() -> None:
    defaults = parse(SMALLEST).hyperparameters
    assert (defaults.method, defaults.learning_rate, defaults.lora_r, defaults.lora_alpha) == ("lora", 3e-4, 16, 32)
    assert (defaults.per_device_train_batch_size, defaults.num_train_epochs, defaults.max_length) == (4, 3, 512)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"dataset": None}, "WRONG_TYPE", "dataset"),
        ({"dataset": {}}, "MISSING_FIELD", "dataset.path"),
        ({"datasets": {}}, "UNKNOWN_FIELD", "datasets"),
        ({"threads": -1}, "OUT_OF_RANGE", "threads"),
        ({"sample_prompts": "one"}, "WRONG_TYPE", "sample_prompts"),
        ({"hyperparameters": {"lora_r": 0}}, "HYPERPARAMETER_OUT_OF_RANGE", "hyperparameters.lora_r"),
        ({"hyperparameters": {"lora_r": 8.5}}, "WRONG_TYPE", "hyperparameters.lora_r"),
        ({"hyperparameters": {"lora_r": True}}, "WRONG_TYPE", "hyperparameters.lora_r"),
        ({"hyperparameters": {"method": "lola"}}, "WRONG_TYPE", "hyperparameters.method"),
        (
            {"hyperparameters": {"learning_rate": float("nan")}},
            "HYPERPARAMETER_OUT_OF_RANGE",
            "hyperparameters.learning_rate",
        ),
        (
            {"hyperparameters": {"per_device_train_batch_size": 2**31}},
            "HYPERPARAMETER_OUT_OF_RANGE",
            "hyperparameters.per_device_train_batch_size",
        ),
        ({"hyperparameters": {"eval_split": 0.51}}, "HYPERPARAMETER_OUT_OF_RANGE", "hyperparameters.eval_split"),
    ],
)
def test_a_wrong_job_names_the_field(change: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(SMALLEST | change)
    assert [(p.reason, p.field) for p in caught.value.problems] == [(reason, field)]


@pytest.mark.parametrize(
    ("values", "reason", "field"),
    [
        ({"deepspeed_stage": 2, "offload_optimizer": "nvme"}, "NEEDS_DEEPSPEED_STAGE", "offload_optimizer"),
        ({"deepspeed_stage": 3, "offload_param": "nvme", "method": "qlora"}, "NOT_IN_4_BITS", "offload_param"),
        ({"deepspeed_stage": 3, "disk_offload_dir": "/fast"}, "NOTHING_ON_DISK", "disk_offload_dir"),
    ],
)
def test_what_a_disk_cannot_take_is_refused(values: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_hyperparameters(values)
    assert [(p.reason, p.field) for p in caught.value.problems] == [(reason, f"hyperparameters.{field}")]


def test_an_unknown_hyperparameter_names_the_nearest() -> None:
    with pytest.raises(ProblemError, match="did you mean lora_r"):
        parse_hyperparameters({"lora_rank": 8})


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ProblemError) as caught:
        parse_hyperparameters({"lora_r": 0, "learning_rate": 2.0, "seed": -1})
    assert len(caught.value.problems) == 3
    assert "hyperparameters.lora_r: Is 0; it must lie in [1, 1024]." in str(caught.value)


def test_values_out_of_bounds_are_told_beside_those_that_cannot_be_read() -> None:
    values = {"learning_rate": float("nan"), "lora_r": 99999, "max_steps": "5", "deepspeed_stag": 2}
    values |= {"offload_optimizer": "cpu"}  # lacks a stage only because the stage's name cannot be read
    with pytest.raises(ProblemError) as caught:
        parse({"base_model": {}, "hyperparameters": values, "threads": -1})
    assert {p.field for p in caught.value.problems} == {
        *("base_model.path", "dataset", "threads"),
        *(f"hyperparameters.{name}" for name in ("learning_rate", "lora_r", "max_steps", "deepspeed_stag")),
    }
    with pytest.raises(ProblemError) as caught:
        parse_hyperparameters(values)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_file_that_is_no_job(content: str, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ProblemError):
        load(path)


def test_json_keeps_japanese_readable() -> None:
    job = parse(SMALLEST | {"sample_prompts": ["首都は？"]})
    assert "首都は？" in job.to_json()
    assert json.loads(job.to_json())["sample_prompts"] == ["首都は？"]
