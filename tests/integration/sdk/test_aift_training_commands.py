"""What `aift plan`, `train` and `sweep` ask for."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aift.training.v1 import training_pb2 as pb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

BASE = ("--base-model", "b")


def test_a_sweep_starts_a_job_for_each_combination(aift: Any, system: Any) -> None:
    grid = ("--grid", "lora_rank=8,16", "--grid", "lr=1e-4,2e-4")
    done = aift("sweep", *BASE, "--data", "d", "--data", "e", *grid, "--epochs", "2", "--name", "ranks", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 8
    jobs = [request.training_job for request in system.training.every_request]
    assert {job.sweep for job in jobs} == {"ranks"}
    asked = [(job.spec.dataset_version, job.spec.hyperparameters) for job in jobs]
    assert [(data[-1], hp.lora_r, hp.learning_rate) for data, hp in asked] == [
        (data, rank, rate) for data in "de" for rank in (8, 16) for rate in (1e-4, 2e-4)
    ]
    assert {hp.num_train_epochs for _, hp in asked} == {2.0}
    assert len({job.spec.model for job in jobs}) == 8
    assert len({request.request_id for request in system.training.every_request}) == 8


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--data", "d", "--grid", "lora_r"], "INVALID_GRID"),
        (["--data", "d", "--grid", "lora_r=" + ",".join(map(str, range(1, 102)))], "TOO_MANY_JOBS"),
        (["--data", "d", "--grid", "lora_q=1"], "UNKNOWN_HYPERPARAMETER"),
        (["--grid", "lora_r=1"], "MISSING"),
        (["--data", "d", "--grid", "lora_r=1,2", "--lora-rank", "8"], "NAMED_TWICE"),
        (["--data", "d", "--grid", "lora_r=1,2", "--set", "qlora_r=8"], "NAMED_TWICE"),
        (["--data", "d", "--grid", "lora_r=1,2", "--grid", "lora_rank=4"], "NAMED_TWICE"),
        (["--data", "d", "--grid", "dataset=e,f"], "NAMED_TWICE"),
        (["--data", "d", "--set", "job_id=mine"], "NOT_IN_A_SWEEP"),
        (["--data", "d", "--output-dir", "out"], "NOT_IN_A_SWEEP"),
    ],
)
def test_a_sweep_that_makes_no_sense_starts_nothing(aift: Any, system: Any, arguments: list[str], reason: str) -> None:
    done = aift("sweep", *BASE, *arguments, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["reason"] == reason
    assert not system.training.every_request


def test_a_sweep_with_a_job_that_is_refused_starts_nothing(aift: Any, system: Any) -> None:
    done = aift("sweep", *BASE, "--data", "d", "--grid", "lora_r=8,5000", "--name", "ranks")
    assert done.returncode == 2
    assert "Nothing was started; refused: ranks: lora_r=5000" in done.stderr
    assert "training_job.spec.hyperparameters.lora_r" in done.stderr
    assert not system.training.every_request


def test_a_sweep_sends_a_file_once(aift: Any, system: Any, rows: Path) -> None:
    done = aift("sweep", *BASE, "--data", "d", "--eval-data", str(rows), "--grid", "lora_r=4,8")
    assert done.returncode == 0, done.stderr
    assert len(system.data.uploads) == 1
    specs = [request.training_job.spec for request in system.training.every_request]
    assert {spec.eval_dataset_version for spec in specs} == {"datasets/rows/versions/1"}


def test_a_file_says_how_a_training_is_run_and_options_win(aift: Any, system: Any, tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("priority: 70\njob_id: mine\nwait: true\n", encoding="utf-8")
    asked = (*BASE, "--data", "d", "--config", str(file))
    system.training.state = pb.TRAINING_JOB_STATE_FAILED
    assert aift("train", *asked, "--priority", "80").returncode == 1  # it waited
    assert (system.training.created.training_job_id, system.training.created.training_job.priority) == ("mine", 80)
    done = aift("sweep", *asked)
    assert done.returncode == 2
    assert "job_id is 'mine'" in done.stderr
    assert "--name" in done.stderr


def test_a_sweep_does_all_else_that_a_file_says(aift: Any, system: Any, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    said = "base_model: b\ndata: d\nmodel: all\nprocesses: 2\npriority: 70\nwait: true\nfit: true\nstart_from: m\n"
    more = "display_name: 順位\nsample_prompts: [問い]\nhyperparameters: {lora_rank: 4}\n"
    file.write_text(said + more, encoding="utf-8")
    system.training.remedies = [pb.PlanRemedy(changes=pb.Hyperparameters(gradient_checkpointing=True), fits=True)]
    system.training.state = pb.TRAINING_JOB_STATE_FAILED
    assert aift("sweep", "--config", str(file), "--grid", "seed=1,2", "--name", "s").returncode == 1  # it waited
    for seed, request in enumerate(system.training.every_request, 1):
        job = request.training_job
        spec, hp = job.spec, job.spec.hyperparameters
        assert (job.display_name, job.priority, job.sweep) == (f"順位: seed={seed}", 70, "s")
        assert (spec.model, spec.processes, spec.start_from) == ("models/all", 2, "models/m")
        assert (list(spec.sample_prompts), hp.lora_r, hp.seed, hp.gradient_checkpointing) == (["問い"], 4, seed, True)


def test_a_folder_that_cannot_take_the_result_is_refused_before_the_training(
    aift: Any, system: Any, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").touch()
    done = aift("train", *BASE, "--data", "d", "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "OTHER_MODEL" in done.stderr
    (tmp_path / "file").touch()
    done = aift("train", *BASE, "--data", "d", "--output", str(tmp_path / "file" / "out"))
    assert done.returncode == 2
    assert "NOT_WRITABLE" in done.stderr
    assert str(tmp_path / "file" / "out") in done.stderr
    assert not system.training.every_request


@pytest.mark.parametrize(
    ("arguments", "reason", "field"),
    [
        (["--data", "./no.jsonl"], "FILE_NOT_FOUND", "data"),
        (["--data", "d", "--eval-data", "no.jsonl"], "FILE_NOT_FOUND", "eval_data"),
        (["--data", "d", "--gpu", "9999999999xA5000"], "OUT_OF_RANGE", "gpus"),
        (["--data", "d", "--num-processes", "10000000000"], "OUT_OF_RANGE", "processes"),
        (["--data", "d", "--lora-r", "1.5"], "INVALID_HYPERPARAMETER", "lora_r"),
    ],
)
def test_a_wrong_argument_is_named(aift: Any, arguments: list[str], reason: str, field: str) -> None:
    done = aift("plan", *BASE, *arguments, "--json")
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["reason"], [violation["field"] for violation in error["violations"]]) == (reason, [field])


def test_a_preset_is_where_settings_begin(aift: Any, system: Any, tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("preset: 32b\nqlora_alpha: 64\n", encoding="utf-8")
    assert aift("plan", *BASE, "--data", "d", "--config", str(file), "--max-length", "256").returncode == 0
    asked = system.training.planned.spec.hyperparameters
    assert (asked.method, asked.lora_r) == (pb.TRAINING_METHOD_QLORA, 128)
    assert (asked.lora_alpha, asked.max_length, asked.gradient_accumulation_steps) == (64, 256, 32)
    assert aift("plan", *BASE, "--data", "d", "--preset", "24GB").returncode == 0
    assert system.training.planned.spec.hyperparameters.lora_r == 32
    assert aift("plan", *BASE, "--data", "d", "--preset", "24GB", "--method", "full").returncode == 0
    asked = system.training.planned.spec.hyperparameters
    assert (asked.HasField("lora_r"), asked.per_device_train_batch_size) == (False, 2)
    done = aift("plan", *BASE, "--data", "d", "--preset", "12GB", "--json")
    assert json.loads(done.stdout)["error"]["reason"] == "UNKNOWN_PRESET"


def test_a_sweep_that_is_refused_half_way_tells_how_far_it_came(aift: Any, system: Any) -> None:
    system.training.most_jobs = 2
    done = aift("sweep", *BASE, "--data", "d", "--grid", "lora_r=4,8,16", "--name", "ranks")
    assert done.returncode != 0
    assert "2/3" in done.stderr
    assert "RESOURCE_EXHAUSTED" in done.stderr


def test_a_sweep_waits_and_tells_by_its_exit_code(aift: Any, system: Any) -> None:
    assert aift("sweep", *BASE, "--data", "d", "--wait").returncode == 0
    system.training.state = pb.TRAINING_JOB_STATE_FAILED
    done = aift("sweep", *BASE, "--data", "d", "--wait")
    assert done.returncode == 1
    assert "OUT_OF_MEMORY" in done.stderr or "memory was not enough" in done.stderr


@pytest.mark.parametrize(
    ("gpu", "count", "model"), [("A5000", 1, "A5000"), ("2xA5000", 2, "A5000"), ("4X24GB", 4, "24GB")]
)
def test_plans_for_hardware_that_is_not_there(aift: Any, system: Any, gpu: str, count: int, model: str) -> None:
    assert aift("plan", *BASE, "--data", "d", "--gpu", gpu).returncode == 0
    hardware = system.training.planned.hardware
    assert (hardware.gpus, hardware.gpu_model) == (count, model)


def test_fit_applies_the_remedies(aift: Any, system: Any) -> None:
    changes = (pb.Hyperparameters(per_device_train_batch_size=1), pb.Hyperparameters(gradient_checkpointing=True))
    system.training.remedies = [pb.PlanRemedy(changes=change, fits=index == 1) for index, change in enumerate(changes)]
    assert aift("train", *BASE, "--data", "d", "--fit").returncode == 0
    hp = system.training.created.training_job.spec.hyperparameters
    assert (hp.per_device_train_batch_size, hp.gradient_checkpointing) == (1, True)
    system.training.remedies = [pb.PlanRemedy(processes=2, fits=True)]
    assert aift("train", *BASE, "--data", "d", "--processes", "4", "--fit").returncode == 0
    assert system.training.created.training_job.spec.processes == 2
    system.training.remedies = [pb.PlanRemedy(changes=changes[0], fits=False)]
    done = aift("train", *BASE, "--data", "d", "--fit", "--json")
    assert json.loads(done.stdout)["error"]["reason"] == "DOES_NOT_FIT"


def test_training_goes_on_from_a_version_without_naming_the_base(aift: Any, system: Any) -> None:
    assert aift("train", "--start-from", "faq@best", "--data", "d", "--objective", "dpo").returncode == 0
    spec = system.training.created.training_job.spec
    assert (spec.base_model, spec.start_from) == ("", "models/faq@best")
    assert spec.hyperparameters.objective == pb.TRAINING_OBJECTIVE_DPO


def test_tensorboard_files_hold_every_metric_of_a_job(aift: Any, tmp_path: Path) -> None:
    done = aift("tensorboard", "--write-only", "--logdir", str(tmp_path / "boards"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jobs"] == 1
    board = EventAccumulator(str(tmp_path / "boards" / "j1")).Reload()
    assert [(scalar.step, scalar.value) for scalar in board.Scalars("train/loss")] == [
        (step, pytest.approx(1 / step)) for step in range(1, 6)
    ]
    assert len(board.Scalars("train/tokens_per_second")) == 5


def test_tensorboard_serves_them(aift: Any, free_port: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aift.cli", "tensorboard", "--port", str(free_port), "--logdir", str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, **aift.environment}, stderr=subprocess.DEVNULL) as process:
        try:
            assert _comes(f"http://127.0.0.1:{free_port}/data/runs") == ["j1"]
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 130


def _comes(url: str) -> list[str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if runs := json.loads(answer.read()):
                    return [str(run) for run in runs]
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"nothing at {url}")


def test_deepspeeds_configuration_is_printed_or_written(aift: Any, tmp_path: Path) -> None:
    printed = aift("deepspeed", "large", "--batch_size", "2")
    assert json.loads(printed.stdout) == {"preset": "DEEP_SPEED_PRESET_LARGE", "batch": 2}
    path = tmp_path / "configs" / "ds.json"
    assert aift("deepspeed", "ultra_large", "--per-device-train-batch-size", "3", "--output", str(path)).stdout == ""
    assert json.loads(path.read_text()) == {"preset": "DEEP_SPEED_PRESET_ULTRA_LARGE", "batch": 3}
    assert aift("deepspeed", "huge").returncode == 2
