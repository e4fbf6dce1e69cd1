"""Training files: YAML by any known name."""

from pathlib import Path

import pytest
from aift.errors import AiftError
from aift.job_file import read_training_file, training_file


def test_names_are_sorted_into_fields_and_hyperparameters(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "model_name: tiny-ja\ndataset_path: data.jsonl\noutput_dir: out\nnum_epochs: 2\n"
        "sample_prompts: [こんにちは]\nhyperparameters:\n  lora_rank: 8\n",
        encoding="utf-8",
    )
    read = read_training_file(path)
    assert (read.base_model, read.data, read.output) == ("tiny-ja", "data.jsonl", "out")
    assert read.sample_prompts == ("こんにちは",)
    assert read.hyperparameters == {"num_epochs": 2, "lora_rank": 8}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [", "INVALID_YAML"),
        ("- a", "INVALID_YAML"),
        ("lerning_rate: 1", "UNKNOWN_HYPERPARAMETER"),
        ("base_model: [a]", "INVALID_VALUE"),
        ("processes: many", "INVALID_VALUE"),
        ("priority: 1.5", "INVALID_VALUE"),
        ("wait: maybe", "INVALID_VALUE"),
        ("model: true", "INVALID_VALUE"),
        ("sample_prompts: one", "INVALID_VALUE"),
        ("hyperparameters: 5", "INVALID_VALUE"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AiftError) as caught:
        read_training_file(path)
    assert caught.value.reason == reason


def test_how_it_is_run_may_stand_there_too_and_a_command_line_has_texts() -> None:
    read = training_file({"priority": 70, "job_id": "mine", "wait": True, "fit": False, "processes": 2})
    assert (read.priority, read.job_id, read.wait, read.fit, read.processes) == (70, "mine", True, False, 2)
    assert training_file({"num-processes": "2", "wait": "true"}) == training_file({"processes": 2, "wait": True})


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes("データ: あ".encode("cp932"))
    with pytest.raises(AiftError, match="INVALID_YAML"):
        read_training_file(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AiftError, match="FILE_NOT_FOUND"):
        read_training_file(tmp_path / "no.yaml")


def test_suggestions_know_the_fields_too() -> None:
    with pytest.raises(AiftError, match="base_model"):
        training_file({"base_modle": "x"})
