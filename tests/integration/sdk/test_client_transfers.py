"""Uploads and downloads go on where they broke."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from aift.data.v1 import data_pb2
from aift.datasets import InvalidDataError
from aift.errors import AiftError
from aift.progress import Progress

MEGABYTE = 1024 * 1024


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "sample_data.jsonl"
    path.write_bytes(bytes(range(256)) * (12 * 1024))  # 3 MiB
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_upload_is_whole(system: Any, rows: Path) -> None:
    told: list[Progress] = []
    upload = system.client.uploads.send(rows, on_progress=told.append)
    assert upload.sha256 == digest(rows)
    assert upload.filename == "sample_data.jsonl"
    assert (told[-1].done, told[-1].total) == (3 * MEGABYTE, 3 * MEGABYTE)
    assert system.data.offsets == [0]


def test_broken_streams_go_on_from_the_committed_offset(system: Any, rows: Path) -> None:
    system.faults.uploads = [MEGABYTE, "gap", MEGABYTE // 2]
    upload = system.client.uploads.send(rows)
    assert upload.sha256 == digest(rows)
    assert system.data.offsets == [0, MEGABYTE, MEGABYTE, MEGABYTE + MEGABYTE // 2]


def test_an_upload_of_an_earlier_run_goes_on(system: Any, rows: Path) -> None:
    begun = system.client.uploads.create(rows.name, rows.stat().st_size)
    part = rows.read_bytes()[:MEGABYTE]
    system.client.uploads.write(begun.name, iter([(0, part)]))
    upload = system.client.uploads.send(rows, resume=begun.name)
    assert upload.sha256 == digest(rows)
    assert system.data.offsets == [0, MEGABYTE]
    assert system.client.uploads.send(rows, resume=begun.name) == upload


@pytest.mark.parametrize("other", [b"x", b"x" * 3 * MEGABYTE])
def test_another_file_is_not_taken_for_one_that_was_sent(system: Any, rows: Path, other: bytes) -> None:
    sent = system.client.uploads.send(rows)
    rows.write_bytes(other)
    with pytest.raises(AiftError, match="OTHER_FILE"):
        system.client.uploads.send(rows, resume=sent.name)


def test_an_empty_file_is_sent_as_it_is(system: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert system.client.uploads.send(tmp_path / "empty").sha256 == hashlib.sha256().hexdigest()


def test_a_missing_file_is_told_before_any_call(system: Any, tmp_path: Path) -> None:
    with pytest.raises(AiftError, match="FILE_NOT_FOUND"):
        system.client.datasets.upload(tmp_path / "no.jsonl")
    assert system.data.uploads == {}


def test_a_data_set_from_file_to_version_and_back(system: Any, rows: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    version = system.client.datasets.upload(rows, on_progress=lambda p: stages.append(p.stage))
    assert version.name == "datasets/sample-data/versions/1"
    assert system.data.datasets["datasets/sample-data"].display_name == "sample_data"
    assert set(stages) == {"uploading", "validating"}
    system.faults.reads = [2 * MEGABYTE, 100]
    system.data.offsets.clear()
    path = system.client.datasets.download("sample-data", tmp_path)
    assert path == tmp_path / "sample_data.jsonl"
    assert digest(path) == version.sha256
    assert system.data.offsets[0] == 0
    assert len(system.data.offsets) == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["sample_data.jsonl"]


def test_rows_that_are_not_valid_come_with_their_report(system: Any, rows: Path) -> None:
    system.data.invalid = True
    with pytest.raises(InvalidDataError, match="1 row is not valid") as caught:
        system.client.datasets.upload(rows, form="messages", train_on="all")
    assert caught.value.report.findings[0].examples[0].line == 3
    assert system.data.checked.form == data_pb2.ROW_FORM_MESSAGES
    assert system.data.checked.train_on == data_pb2.TRAIN_ON_ALL


def test_waiting_outlasts_a_service_that_starts_again(system: Any, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.client.connection, "patience_s", 0.0)
    system.data.away = 2
    assert system.client.datasets.upload(rows).name.endswith("/versions/1")
    system.data.away = 1
    with pytest.raises(AiftError):
        system.client.datasets.job("j1")


def test_texts_become_rows(system: Any) -> None:
    system.client.datasets.from_texts(["質問: 一\n回答: 二", "三"], dataset="mine")
    assert system.data.content["uploads/u1"].decode().splitlines() == [
        '{"text": "質問: 一\\n回答: 二"}',
        '{"text": "三"}',
    ]
    assert "datasets/mine" in system.data.datasets


def test_an_unknown_form_is_refused_here(system: Any, rows: Path) -> None:
    with pytest.raises(AiftError, match="instruction"):
        system.client.datasets.validate("d", "uploads/u", form="table")


def test_lists_fetch_every_page(system: Any) -> None:
    for name in "abcde":
        system.client.datasets.create(name)
    assert [entry.name for entry in system.client.datasets.list()] == [f"datasets/{name}" for name in "abcde"]
    system.client.datasets.delete("c")


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "My_Model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md", "pytorch_model.bin", "run.py"):
        (folder / name).write_bytes(name.encode())
    (folder / ".hidden.json").touch()
    (folder / "checkpoint-1").mkdir()
    return folder


def test_a_base_model_from_a_folder(system: Any, model_folder: Path) -> None:
    told: list[Progress] = []
    model = system.client.base_models.import_dir(model_folder, on_progress=told.append)
    assert model.name == "baseModels/my-model"
    assert [file.path for file in system.registry.imported.uploads.files] == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    total = sum(len(name) for name in ("README.md", "config.json", "model.safetensors", "tokenizer.json"))
    sent = [p for p in told if p.stage == "uploading"]
    assert (sent[-1].done, sent[-1].total) == (total, total)
    assert told[-1].stage == "importing"


def test_pickled_weights_are_refused_with_the_remedy(system: Any, model_folder: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(AiftError, match="safe_serialization") as caught:
        system.client.base_models.import_dir(model_folder)
    assert caught.value.reason == "PICKLED_WEIGHTS"
    (model_folder / "pytorch_model.bin").unlink()
    with pytest.raises(AiftError, match="WEIGHTS_MISSING"):
        system.client.models.import_dir(model_folder)
    with pytest.raises(AiftError, match="DIRECTORY_NOT_FOUND"):
        system.client.models.import_dir(model_folder / "no")


def test_a_version_is_downloaded_and_verified(system: Any, tmp_path: Path) -> None:
    system.faults.reads = [3000, 0, 4000]
    folder = system.client.models.download("m", tmp_path / "new" / "folder")
    assert (folder / "adapter_model.safetensors").read_bytes() == system.registry.content


@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors", "adapter_config.json"])
def test_two_models_never_share_a_folder(system: Any, tmp_path: Path, name: str) -> None:
    again = system.client.models.download("m", tmp_path / "out")
    assert system.client.models.download("m", tmp_path / "out") == again
    (again / name).write_bytes(b"x" * len(system.registry.content))
    with pytest.raises(AiftError, match="OTHER_MODEL") as caught:
        system.client.models.download("m", tmp_path / "out")
    assert str(tmp_path / "out") in caught.value.message_en
    assert name in caught.value.message_ja


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_a_registry_cannot_write_elsewhere(system: Any, tmp_path: Path, path: str) -> None:
    system.registry.path = path
    with pytest.raises(AiftError, match="UNSAFE_PATH"):
        system.client.models.download("m", tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())


def test_wrong_bytes_are_never_kept(system: Any, tmp_path: Path) -> None:
    system.registry.sha256 = "0" * 64
    with pytest.raises(AiftError, match="DIGEST_MISMATCH"):
        system.client.models.download("m", tmp_path)
    assert not list(tmp_path.iterdir())
