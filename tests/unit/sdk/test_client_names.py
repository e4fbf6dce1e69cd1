"""Names, languages, and JSON as the SDK makes them."""

import pytest
from aift.jsonform import as_json
from aift.language import language
from aift.names import model_name, qualified, slug
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2
from google.protobuf.struct_pb2 import Struct


def test_short_names_are_completed() -> None:
    assert qualified("models", "demo@production") == "models/demo@production"
    assert qualified("models", "models/demo") == "models/demo"
    assert model_name("baseModels/tiny-ja") == "baseModels/tiny-ja"
    assert model_name("demo") == "models/demo"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sample_training_data", "sample-training-data"),
        ("Ｑ＆Ａ 2026", "q-a-2026"),
        ("日本語", ""),
        ("--x--", "x"),
        ("a" * 100, "a" * 63),
    ],
)
def test_slugs_are_ids(name: str, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "AIFT_LANG": "ja"}, "ja"),
        ({"LANG": ""}, "en"),
        ({}, "en"),
    ],
)
def test_language(environment: dict[str, str], expected: str) -> None:
    assert language(environment) == expected


def test_json_has_every_field_and_numbers_as_numbers() -> None:
    job = training_pb2.TrainingJob(
        name="trainingJobs/j",
        state=training_pb2.TRAINING_JOB_STATE_RUNNING,
        last_sequence=2**60,
        metrics={"loss": float("nan"), "eval_loss": 0.5},
    )
    job.create_time.FromJsonString("2026-01-02T03:04:05Z")
    job.progress.remaining.FromMilliseconds(1500)
    job.spec.hyperparameters.lora_r = 0
    body = as_json(job)
    assert body["state"] == "TRAINING_JOB_STATE_RUNNING"
    assert body["last_sequence"] == 2**60
    assert body["metrics"] == {"loss": "nan", "eval_loss": 0.5}
    assert body["create_time"] == "2026-01-02T03:04:05Z"
    assert body["end_time"] is None
    assert body["display_name"] == ""
    assert body["progress"]["remaining"] == 1.5  # type: ignore[index]
    settings = body["spec"]["hyperparameters"]  # type: ignore[index]
    assert settings["lora_r"] == 0
    assert settings["learning_rate"] is None
    assert settings["lora_target_modules"] == []


def test_json_of_structs_and_oneofs() -> None:
    recommended = Struct()
    recommended.update({"num_train_epochs": 5, "names": ["a"]})
    body = as_json(registry_pb2.BaseModel(recommended=recommended))
    assert body["recommended"] == {"num_train_epochs": 5.0, "names": ["a"]}
    event = as_json(training_pb2.TrainingEvent(sequence=3, metric=training_pb2.Metric(step=1)))
    assert "state_changed" not in event
    assert event["metric"]["step"] == 1  # type: ignore[index]
