"""The `aift` command as scripts and people meet it: real process, real sockets."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aift.training.v1 import training_pb2


def test_upload_prints_the_version_on_stdout_and_the_report_beside(aift: Any, rows: Path) -> None:
    done = aift("data", "upload", str(rows))
    assert (done.returncode, done.stdout) == (0, "datasets/rows/versions/1\n")
    assert "3 rows are valid" in done.stderr
    assert json.loads(aift("data", "upload", str(rows), "--json").stdout)["name"] == "datasets/rows/versions/1"


def test_japanese(aift: Any, rows: Path) -> None:
    done = aift("data", "upload", str(rows), lang="ja")
    assert "3 行すべて有効です" in done.stderr
    assert "存在しません" in aift("jobs", "show", "nobody", lang="ja").stderr
    assert "学習ジョブ" in aift("--help", lang="ja").stdout


def test_invalid_rows_show_line_and_reason(aift: Any, system: Any, rows: Path) -> None:
    system.data.invalid = True
    done = aift("data", "upload", str(rows))
    assert done.returncode == 1
    assert "INVALID_JSON" in done.stderr
    assert "line 3" in done.stderr
    body = json.loads(aift("data", "upload", str(rows), "--json").stdout)["error"]
    assert body["reason"] == "DATA_INVALID"
    assert body["report"]["findings"][0]["examples"][0]["line"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["jobs", "show", "nobody"], 3, "NOT_FOUND"),
        (["data", "upload", "no-such-file"], 2, "FILE_NOT_FOUND"),
        (["train", "--data", "d", "--base-model", "b", "--lerning-rate", "1"], 2, "UNKNOWN_HYPERPARAMETER"),
        (["train", "--data", "d"], 2, "MISSING"),
        (["jobs", "list", "--state", "runing"], 2, "UNKNOWN_VALUE"),
        (["jobs", "frobnicate"], 2, "USAGE"),
        (["jobs", "list", "--limit", "0"], 2, "USAGE"),
        (["generate", "m", " "], 2, "PROMPT_EMPTY"),
    ],
)
def test_failures_have_exit_codes_and_json(aift: Any, arguments: list[str], code: int, reason: str) -> None:
    plain = aift(*arguments)
    assert plain.returncode == code
    assert plain.stdout == ""
    assert plain.stderr
    assert "Traceback" not in plain.stderr
    with_json = aift(*arguments, "--json")
    assert with_json.returncode == code
    assert json.loads(with_json.stdout)["error"]["reason"] == reason


def test_nobody_there(aift: Any, free_port: int) -> None:
    aift.environment["AIFT_TRAINING_ADDRESS"] = f"127.0.0.1:{free_port}"
    done = aift("jobs", "list")
    assert done.returncode == 5
    assert "aift up" in done.stderr


def test_train_takes_the_manuals_names(aift: Any, system: Any) -> None:
    done = aift(
        *("train", "--model_name", "tiny-ja", "--dataset_path", "datasets/d", "--use_4bit", "--qlora_r", "128"),
        *("--learning-rate", "1e-3", "--gradient_checkpointing", "--set", "num_epochs=2", "--no-packing"),
    )
    assert done.returncode == 0, done.stderr
    assert "aift jobs watch trainingJobs/j1" in done.stderr
    settings = system.training.created.training_job.spec.hyperparameters
    assert (settings.method, settings.lora_r, settings.num_train_epochs) == (training_pb2.TRAINING_METHOD_QLORA, 128, 2)
    assert (settings.learning_rate, settings.gradient_checkpointing, settings.packing) == (1e-3, True, False)
    assert settings.HasField("packing")


def test_train_from_a_file_to_a_folder(aift: Any, system: Any, rows: Path, tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text(f"model_name: tiny-ja\ndataset_path: {rows}\nepochs: 1\n", encoding="utf-8")
    done = aift("train", "--config", str(config), "--epochs", "4", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == system.registry.content
    spec = system.training.created.training_job.spec
    assert spec.dataset_version == "datasets/rows/versions/1"
    assert spec.hyperparameters.num_train_epochs == 4
    assert "loss 0.200" in done.stderr
    assert "models/m/versions/1" in done.stdout


def test_a_failed_training_fails_the_command(aift: Any, system: Any) -> None:
    system.training.state = training_pb2.TRAINING_JOB_STATE_FAILED
    done = aift("train", "--base-model", "b", "--data", "d", "--wait")
    assert done.returncode == 1
    assert "memory was not enough" in done.stderr
    body = json.loads(aift("train", "--base-model", "b", "--data", "d", "--wait", "--json").stdout)
    assert body["error"]["reason"] == "OUT_OF_MEMORY"


def test_watch_as_json_lines(aift: Any) -> None:
    lines = [json.loads(line) for line in aift("jobs", "watch", "j1", "--json").stdout.splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, 10))
    assert lines[2]["metric"]["values"]["loss"] == 1.0


def test_interrupting_a_watch_leaves_the_job_and_says_how_to_return(aift: Any, system: Any, tmp_path: Path) -> None:
    system.training.never_ends = True
    watcher = subprocess.Popen(
        [sys.executable, "-m", "aift.cli", "jobs", "watch", "trainingJobs/j1"],
        env=aift.environment,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        while not system.training.asked:
            time.sleep(0.05)
        time.sleep(0.2)
        watcher.send_signal(signal.SIGINT)
        _, said = watcher.communicate(timeout=90)
    finally:
        watcher.kill()
    assert watcher.returncode == 130
    assert "aift jobs watch trainingJobs/j1" in said


def test_logs_and_generate(aift: Any) -> None:
    assert aift("jobs", "logs", "j1").stdout == "one\ntwo\n"
    assert aift("logs", "trainingJobs/j1", "--follow").stdout == "one\ntwo\n"
    streamed = aift("generate", "m", "日本の首都は？")
    assert streamed.stdout == "東京です。\n"
    assert "3 tokens" in streamed.stderr
    assert aift("generate", "m", stdin="質問").stdout == "東京です。\n"
    assert json.loads(aift("generate", "m", "p", "--json").stdout)["text"] == "models/m: p"


def test_base_beside_tuned(aift: Any) -> None:
    done = aift("generate", "m", "p", "--base-and-tuned")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("東京です。") == 2
    assert "baseModels/tiny-ja" in done.stdout
    both = json.loads(aift("generate", "m", "p", "--base-and-tuned", "--json").stdout)
    assert both["base"]["text"] == "baseModels/tiny-ja: p"


def test_plan(aift: Any) -> None:
    done = aift("plan", "--base-model", "b", "--data", "d", "--lora-r", "8")
    assert "lora_r=8" in done.stdout
    assert json.loads(aift("plan", "--base-model", "b", "--data", "d", "--json").stdout)["steps"] == 7


def test_lists(aift: Any, rows: Path) -> None:
    assert json.loads(aift("data", "list", "--json").stdout) == []
    assert "none yet" in aift("data", "list").stderr
    aift("data", "upload", str(rows), "--display-name", "表示名[/x]")
    assert "表示名[/x]" in aift("data", "list").stdout
    assert json.loads(aift("data", "delete", "rows", "--json").stdout) == {"deleted": "rows"}


def test_commands_of_this_machine_become_the_supervisors(aift: Any, tmp_path: Path) -> None:
    done = aift("status", "--state-dir", str(tmp_path / "state"), "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["error"]["reason"] == "NOT_RUNNING"
    assert "--detach" in aift("up", "--help").stdout
