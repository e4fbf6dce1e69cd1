"""Names of the Hub, kinds of files, digests, cards and disks: what needs no service."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from services.core.errors import InvalidArgument
from services.core.hub.protocol import HubFile, Job, Plan
from services.registry_service import disk, file_kinds, hub_names
from services.registry_service.card import CardWriter
from services.registry_service.domain import (
    Edge,
    ModelKind,
    NewVersion,
    StoredFile,
    edges_of,
    manifest_digest,
)
from services.registry_service.errors import InsufficientDisk
from services.registry_service.rows import metrics_json


@pytest.mark.parametrize(
    ("said", "meant", "id_"),
    [
        ("distilgpt2", "distilbert/distilgpt2", "distilgpt2"),
        ("japanese-stablelm-3b", "stabilityai/japanese-stablelm-3b-4e1t-instruct", "japanese-stablelm-3b"),
        ("elyza-japanese-llama-7b", "elyza/ELYZA-japanese-Llama-2-7b-instruct", "elyza-japanese-llama-7b"),
        (
            "cyberagent/calm3-DeepSeek-R1-Distill-Qwen-32B",
            "cyberagent/DeepSeek-R1-Distill-Qwen-32B-Japanese",
            "deepseek-r1-distill-qwen-32b-japanese",
        ),
        ("SakanaAI/TinySwallow-1.5B-Instruct", "SakanaAI/TinySwallow-1.5B-Instruct", "tinyswallow-1-5b-instruct"),
    ],
)
def test_names_that_people_know(said: str, meant: str, id_: str) -> None:
    assert hub_names.check_hub_id(said, field="hub_id") == meant
    assert hub_names.derived_id(meant) == id_


@pytest.mark.parametrize("text", ["", "a/b/c", "../a", "a/../b", "a--b", "a/b\0", "a b", "/a", "a/", "あ/い", "a" * 97])
def test_what_the_hub_would_not_call_an_id(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        hub_names.check_hub_id(text, field="hub.hub_id")
    assert caught.value.violations[0].field == "hub.hub_id"


def test_revisions() -> None:
    assert hub_names.check_revision("", field="r") == "main"
    assert hub_names.check_revision("refs/pr/1", field="r") == "refs/pr/1"
    for text in ("../x", "a b", "-x", "x" * 300):
        with pytest.raises(InvalidArgument):
            hub_names.check_revision(text, field="r")


def test_what_is_taken_from_a_repository() -> None:
    listed = [
        *("config.json", "tokenizer.model", "README.md", "LICENSE.txt", "LICENSE", "chat_template.jinja"),
        *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
        *("pytorch_model.bin", "modeling_x.py", "onnx/model.onnx", ".gitattributes", "consolidated.safetensors"),
        *("model.fp16.safetensors", "adapter/adapter_config.json", "bad name.json"),
    ]
    assert file_kinds.wanted_of_hub(listed) == [
        *("LICENSE", "LICENSE.txt", "README.md", "chat_template.jinja", "config.json"),
        *("model.safetensors.index.json", "tokenizer.model"),
        *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
    ]
    whole = file_kinds.wanted_of_hub([*listed, "model.safetensors"])
    assert [path for path in whole if "safetensors" in path] == ["model.safetensors"]


def test_every_wrong_path_is_named() -> None:
    paths = ["ok.json", "../x.json", "a\\b.json", "x.pkl", "x.py", "ok.json", "a/b/c/d/e/f/g/h/i.json"]
    with pytest.raises(InvalidArgument) as caught:
        file_kinds.check_paths(paths, field="files")
    assert [violation.field for violation in caught.value.violations] == [
        f"files[{index}].path" for index in (1, 2, 3, 4, 5, 6)
    ]
    for count in (0, 1001):
        with pytest.raises(InvalidArgument):
            file_kinds.check_paths([f"{n}.json" for n in range(count)], field="files")


def test_the_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "B.json"):
        (tmp_path / name).write_text(name)
    shell = "LC_ALL=C sha256sum $(LC_ALL=C ls) | sha256sum | cut -d' ' -f1"
    said = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True)
    files = []
    for path in tmp_path.iterdir():
        summed = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
        files.append(StoredFile(path=path.name, size_bytes=6, sha256=summed.split()[0], key="k"))
    assert manifest_digest(files) == manifest_digest(reversed(files)) == said.stdout.strip()


def version(**changed: object) -> NewVersion:
    values: dict[str, object] = {
        "kind": ModelKind.ADAPTER,
        "base_model": "baseModels/tiny",
        "base_model_digest": "abc" * 10,
        "dataset_version": "datasets/d/versions/1",
        "training_job": "trainingJobs/j",
        "files": (),
    }
    return NewVersion(**{**values, **changed})  # type: ignore[arg-type]


def test_edges_of_versions() -> None:
    name = "models/m/versions/1"
    assert edges_of(version(), name) == [
        Edge(source="datasets/d/versions/1", target="trainingJobs/j"),
        Edge(source="trainingJobs/j", target=name),
        Edge(source="baseModels/tiny", target=name),
    ]
    assert edges_of(version(dataset_version="", training_job="", base_model=""), name) == []


def test_a_card_says_what_is_known_and_that_the_rest_is_not() -> None:
    said = version(
        hyperparameters={"lora_r": 16.0, "learning_rate": 0.0003, "targets": ["q_proj", "v_proj"], "note": "a|b\nc"},
        metrics={"eval_loss": 0.123456, "perplexity": float("inf")},
    )
    card = CardWriter(None)(said, "models/m/versions/3")
    for expected in (
        *("# models/m/versions/3", "adapter (PEFT) / アダプター (PEFT)", "`baseModels/tiny`", "`trainingJobs/j`"),
        *("| `lora_r` | 16 |", "| `learning_rate` | 0.0003 |", "| `targets` | q_proj, v_proj |", "a\\|b c"),
        *("| `eval_loss` | 0.1235 |", "| `perplexity` | inf |", "unknown / 不明"),
    ):
        assert expected in card
    imported = CardWriter(None)(version(training_job="", dataset_version=""), "models/m/versions/3")
    assert "imported / 取り込み" in imported
    assert "Metrics" not in imported


def test_metrics_that_json_has_no_word_for() -> None:
    stored = metrics_json({"a": float("inf"), "b": float("nan"), "c": 1.5})
    assert stored == {"a": "inf", "b": "nan", "c": 1.5}
    assert float(stored["a"]) == float("inf")


def test_disks(tmp_path: Path) -> None:
    disk.check({tmp_path / "a": 1, tmp_path / "b": 1}, reserve_bytes=0)
    with pytest.raises(InsufficientDisk) as caught:
        disk.check({tmp_path / "a": 1 << 60, tmp_path / "b": 1 << 60}, reserve_bytes=1 << 30)
    assert caught.value.params["needed"] == "2.097e+06 TiB"
    assert [disk.human(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5 GiB"]


def test_the_token_is_not_in_what_is_printed() -> None:
    job = Job(hub_id="a/b", revision="main", directory="/x", token="hf_secret")
    assert "hf_secret" not in repr(job)
    assert b"hf_secret" in job.line()


def test_plans_travel() -> None:
    plan = Plan(commit="c", files=(HubFile(path="config.json", size_bytes=2, sha256=""),))
    assert Plan.of(json.loads(plan.line())["plan"]) == plan
