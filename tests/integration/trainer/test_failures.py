"""Trainings that cannot be: typed, with the field at fault, and an exit code that says whether to try again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.training_service.trainer import checkpoint, events, job, model
from services.training_service.trainer.__main__ import describe
from services.training_service.trainer.data import prepare
from services.training_service.trainer.failures import EXIT_CODES, TrainingError
from services.training_service.trainer.hyperparameters import Hyperparameters
from tests.integration.trainer.conftest import Finished, Trainer, example_rows

pytestmark = pytest.mark.xdist_group("trainer")


def failure(run: Finished) -> events.Failed:
    last = run.lines[-1].event
    assert isinstance(last, events.Failed), run.stderr
    assert run.code == EXIT_CODES[last.failure]
    assert last.en
    assert last.ja
    return last


def test_an_unknown_hyperparameter_fails_before_anything_is_imported(trainer: Trainer) -> None:
    failed = failure(trainer.run(trainer.job(hp_lora_rank=8), "out"))
    assert (failed.failure, failed.reason) == ("configuration", "UNKNOWN_FIELD")
    assert "did you mean lora_r" in failed.en


def test_a_mistake_is_told_in_the_terminals_language_without_a_traceback(trainer: Trainer) -> None:
    job_file = trainer.job(hp_lora_rank=8)
    english = trainer.run(job_file, "out")
    japanese = trainer.wait(trainer.start(job_file, "出力", AIFT_LANG="ja", PYTHONIOENCODING="utf-8"), "出力")
    assert english.stderr.splitlines() == ["loading the model", f"error: {failure(english).en} [UNKNOWN_FIELD]"]
    assert japanese.stderr.splitlines() == ["モデルを読み込み中", f"エラー: {failure(japanese).ja} [UNKNOWN_FIELD]"]


def test_a_loss_that_is_no_number_names_the_learning_rate(trainer: Trainer) -> None:
    folder = trainer.folder / "broken"
    shutil.copytree(trainer.base_model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    broken = Trainer(trainer.folder, folder)
    failed = failure(broken.run(broken.job(), "out"))
    assert (failed.failure, failed.reason) == ("configuration", "LOSS_NOT_FINITE")
    assert failed.field == "hyperparameters.learning_rate"


@pytest.mark.parametrize(
    ("rows", "fields", "reason", "field"),
    [
        ([*example_rows(3), {"text": ""}], {}, "EMPTY_FIELD", "row 4, text"),
        ([*example_rows(3), ["text"]], {}, "UNKNOWN_FORM", ""),
        ([], {}, "NO_ROWS", "dataset"),
        (example_rows(8), {"hp_max_length": 8}, "ALL_ROWS_TRUNCATED", "dataset"),
    ],
)
def test_rows_that_cannot_be_trained(
    rows: list[Any], fields: dict[str, Any], reason: str, field: str, trainer: Trainer
) -> None:
    description = job.load(trainer.job(rows=rows, **fields))
    tokenizer = model.load_tokenizer(trainer.base_model)
    with pytest.raises(TrainingError) as caught:
        prepare(description, tokenizer, description.hyperparameters.max_length, lambda share: None)
    failed = describe(caught.value)
    assert (failed.failure, failed.reason, failed.field) == ("data", reason, field)


def test_a_line_that_is_not_json_is_named(trainer: Trainer) -> None:
    path = trainer.job()
    with (trainer.folder / "job.jsonl").open("a", encoding="utf-8") as file:
        file.write("{\n")
    description = job.load(path)
    with pytest.raises(TrainingError, match="line 41 is not JSON"):
        prepare(description, model.load_tokenizer(trainer.base_model), 100, lambda share: None)


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"lora_r": 65}, "LORA_RANK_TOO_HIGH", "hyperparameters.lora_r"),
        ({"lora_target_modules": ("q_project",)}, "NO_SUCH_LAYER", "hyperparameters.lora_target_modules"),
    ],
)
def test_adapters_that_do_not_fit_the_model(fields: dict[str, Any], reason: str, field: str, base_model: Path) -> None:
    hyperparameters = Hyperparameters(**fields)
    base = model.load(base_model, hyperparameters, torch.device("cpu"))
    with pytest.raises(TrainingError) as caught:
        model.with_adapters(base, hyperparameters)
    failed = describe(caught.value)
    assert (failed.failure, failed.reason, failed.field) == ("configuration", reason, field)


def test_models_with_code_or_without_safetensors_are_refused(base_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "coded"
    shutil.copytree(base_model, folder)
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("{", '{"auto_map": {},', 1), encoding="utf-8")
    with pytest.raises(TrainingError, match="code of its own"):
        model.check_files(folder)
    (folder / "model.safetensors").unlink()
    shutil.copyfile(base_model / "config.json", config)
    with pytest.raises(TrainingError, match="safetensors"):
        model.check_files(folder)
    with pytest.raises(TrainingError, match="cannot be read"):
        model.check_files(tmp_path)


def test_a_checkpoint_of_other_rows_is_refused(tmp_path: Path) -> None:
    mark = checkpoint.fingerprint([3, 4], Hyperparameters(), 1, 10)
    (tmp_path / "state.json").write_text(
        f'{{"step": 5, "fingerprint": "{mark}", "tokens": 0, "trained_tokens": 0}}', encoding="utf-8"
    )
    two_ranks = Hyperparameters(per_device_train_batch_size=2)
    assert checkpoint.read_place(tmp_path, checkpoint.fingerprint([3, 4], two_ranks, 2, 10)).step == 5
    for other in (
        checkpoint.fingerprint([3, 5], Hyperparameters(), 1, 10),
        checkpoint.fingerprint([3, 4], Hyperparameters(seed=1), 1, 10),
        checkpoint.fingerprint([3, 4], Hyperparameters(), 2, 10),
        checkpoint.fingerprint([3, 4], Hyperparameters(), 1, 11),
    ):
        with pytest.raises(TrainingError, match="other rows"):
            checkpoint.read_place(tmp_path, other)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), "out_of_memory"),
        (RuntimeError("Connection closed by peer"), "infrastructure"),
        (OSError(28, "No space left on device"), "infrastructure"),
        (KeyboardInterrupt(), "infrastructure"),
    ],
)
def test_foreign_errors_have_a_kind(error: BaseException, kind: str) -> None:
    assert describe(error).failure == kind
