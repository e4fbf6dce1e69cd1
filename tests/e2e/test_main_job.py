"""The main job through the public API of a running system."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from aift import AiftError, Client
from aift.datasets import InvalidDataError
from aift.registry.v1 import registry_pb2
from aift.training.v1 import training_pb2

from tests.e2e.conftest import SETTINGS, System, aift

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def test_a_registered_version_knows_where_it_came_from(client: Client, tuned: registry_pb2.ModelVersion) -> None:
    assert tuned.name == "models/tuned/versions/1"
    assert tuned.kind == registry_pb2.MODEL_KIND_ADAPTER
    assert (tuned.base_model, tuned.dataset_version) == ("baseModels/tiny-ja", "datasets/faq/versions/1")
    edges = {(getattr(edge, "from"), edge.to) for edge in client.models.lineage(tuned.name).edges}
    assert {("datasets/faq/versions/1", "trainingJobs/first"), ("trainingJobs/first", tuned.name)} <= edges
    assert ("baseModels/tiny-ja", tuned.name) in edges or ("baseModels/tiny-ja", "trainingJobs/first") in edges


def test_the_job_tells_all_that_happened(client: Client, tuned: registry_pb2.ModelVersion) -> None:
    events = list(client.training.watch("first"))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].state_changed.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED
    assert events[-1].state_changed.model_version == tuned.name
    assert list(client.training.watch("first", after_sequence=events[-3].sequence)) == events[-2:]
    metrics = client.training.metrics("first")
    losses = [metric.values["loss"] for metric in metrics if "loss" in metric.values]
    assert losses[-1] < losses[0]
    assert any(event.sample.text for event in events)
    job = client.training.get("first")
    assert job.metrics["eval_bits_per_character"] < job.metrics["base_eval_bits_per_character"]


def test_base_and_tuned_answer_differently_at_the_same_time(client: Client, tuned: registry_pb2.ModelVersion) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = ["baseModels/tiny-ja", tuned.name, "models/tuned", "baseModels/tiny-ja"]
        answers = list(
            pool.map(
                lambda name: client.generate(name, "納品日を教えてください。", temperature=0, max_new_tokens=16), names
            )
        )
    assert answers[0].text == answers[3].text
    assert answers[1].text == answers[2].text
    assert answers[0].text != answers[1].text
    assert answers[2].model == tuned.name


def test_a_downloaded_version_is_what_its_manifest_says(
    client: Client, tuned: registry_pb2.ModelVersion, tmp_path: Path
) -> None:
    folder = Path(client.models.download(tuned.name, tmp_path / "out"))
    assert {file.path for file in tuned.files} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    again = client.models.import_dir(folder, model="copied", base_model="tiny-ja")
    assert again.name == "models/copied/versions/1"
    question = "納品日を教えてください。"
    one, two = (client.generate(name, question, temperature=0, max_new_tokens=16) for name in (tuned.name, again.name))
    assert one.text == two.text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EMPTY_FILE"),
        ('{"text": "質問: a\\n回答: b"}\n{"text": "質問: c\\n回答: d"}\n{"text": \n'.encode(), "INVALID_JSON"),
        (b'{"instruction": "a", "response": "b"}\n{"instruction": "c"}\n', "MISSING_FIELD"),
        ('{"text": "質問: 日本の首都はどこですか？\\n回答: 東京です。"}\n'.encode("cp932") * 5, "NOT_UTF8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "NOT_TEXT"),
    ],
)
def test_bad_files_store_nothing_and_say_why(client: Client, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError) as caught:
        client.datasets.upload(path, dataset="bad")
    assert caught.value.reason == "DATA_INVALID"
    finding = next(finding for finding in caught.value.report.findings if finding.reason == reason)
    assert finding.message.ja
    assert finding.message.en
    if reason == "INVALID_JSON":
        assert finding.examples[0].line == 3
    assert "datasets/bad" not in {dataset.name for dataset in client.datasets.list()}


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"lora_r": 0}, "lora_r"), ({"learning_rate": float("nan")}, "learning_rate"), ({"lora_r": 100_000}, "lora_r")],
)
def test_bad_hyperparameters_are_refused_before_anything_runs(
    client: Client, tuned: registry_pb2.ModelVersion, settings: dict[str, object], field: str
) -> None:
    spec = client.training.spec(tuned.base_model, tuned.dataset_version, {**SETTINGS, **settings})
    with pytest.raises(AiftError) as caught:
        client.training.create(spec)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field.rpartition(".")[2] for violation in caught.value.violations] == [field]
    assert all(job.display_name != "bad" for job in client.training.list())


def test_unknown_names_are_told_apart(client: Client, tuned: registry_pb2.ModelVersion) -> None:
    with pytest.raises(AiftError, match="UNKNOWN_HYPERPARAMETER"):
        client.training.spec(tuned.base_model, tuned.dataset_version, {"lerning_rate": 1e-3})
    for call in (
        lambda: client.training.create(client.training.spec("baseModels/nothing", tuned.dataset_version, SETTINGS)),
        lambda: client.training.create(client.training.spec(tuned.base_model, "datasets/nothing", SETTINGS)),
        lambda: client.generate("models/nothing", "?"),
    ):
        with pytest.raises(AiftError) as caught:
            call()
        assert caught.value.code == grpc.StatusCode.NOT_FOUND
    for name in ("datasets/../etc", "datasets/a\0b", "datasets/" + "x" * 100):
        with pytest.raises(AiftError) as caught:
            client.datasets.get(name)
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(AiftError) as caught:
        client.generate("baseModels/tiny-ja", "長い" * 5000)
    assert caught.value.code == grpc.StatusCode.OUT_OF_RANGE


def test_no_token_and_wrong_role_are_refused(system: System, tuned: registry_pb2.ModelVersion) -> None:
    with Client(token="", state_dir=system.state) as nobody, pytest.raises(AiftError) as caught:
        list(nobody.datasets.list())
    assert caught.value.code == grpc.StatusCode.UNAUTHENTICATED
    made = aift("token", "create", "--role", "viewer", "--name", "looker", "--json", state=system.state)
    token = made.stdout.strip()
    assert made.returncode == 0, made.stderr
    with Client(token=json.loads(token)["token"], state_dir=system.state) as viewer:
        assert viewer.models.version(tuned.name).name == tuned.name
        with pytest.raises(AiftError) as caught:
            viewer.models.delete(tuned.name)
        assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED


def test_a_cancelled_job_ends_without_a_model(client: Client, tuned: registry_pb2.ModelVersion) -> None:
    spec = client.training.spec(
        tuned.base_model, tuned.dataset_version, {**SETTINGS, "max_steps": 100_000}, model="models/never"
    )
    job = client.training.create(spec)
    for event in client.training.watch(job.name):
        if event.metric.step:
            client.training.cancel(job.name)
            break
    ended = [event.state_changed.state for event in client.training.watch(job.name) if event.state_changed.state][-1]
    assert ended == training_pb2.TRAINING_JOB_STATE_CANCELLED
    with pytest.raises(AiftError):
        client.models.version("models/never")
