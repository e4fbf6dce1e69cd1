"""Trainings that cannot be: typed, with the field at fault, and an exit code that says whether to try again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from services.training_service.trainer import events
from services.training_service.trainer.failures import EXIT_CODES
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


@pytest.mark.parametrize(
    ("rows", "fields", "kind", "reason", "field"),
    [
        (None, {"hp_lora_r": 65}, "configuration", "LORA_RANK_TOO_HIGH", "hyperparameters.lora_r"),
        (
            None,
            {"hp_lora_target_modules": ["q_project"]},
            "configuration",
            "NO_SUCH_LAYER",
            "hyperparameters.lora_target_modules",
        ),
        ([*example_rows(3), {"text": ""}], {}, "data", "EMPTY_FIELD", "row 4, text"),
        ([], {}, "data", "NO_ROWS", "dataset"),
        (example_rows(8), {"hp_max_length": 8}, "data", "ALL_ROWS_TRUNCATED", "dataset"),
        (
            None,
            {"hp_learning_rate": 1.0, "hp_method": "full", "hp_max_grad_norm": 0.0, "hp_max_steps": 2000},
            "configuration",
            "LOSS_NOT_FINITE",
            "hyperparameters.learning_rate",
        ),
    ],
)
def test_what_cannot_be_trained(
    rows: list[dict[str, Any]] | None,
    fields: dict[str, Any],
    kind: str,
    reason: str,
    field: str,
    trainer: Trainer,
) -> None:
    failed = failure(trainer.run(trainer.job(rows=rows, **fields), "out"))
    assert (failed.failure, failed.reason, failed.field) == (kind, reason, field)


def test_models_with_code_are_refused(trainer: Trainer) -> None:
    folder = trainer.folder / "coded"
    shutil.copytree(trainer.base_model, folder)
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("{", '{"auto_map": {},', 1), encoding="utf-8")
    coded = Trainer(trainer.folder, folder)
    assert failure(coded.run(coded.job(), "out")).reason == "MODEL_WITH_CODE"


def test_a_checkpoint_of_other_rows_is_refused(trainer: Trainer) -> None:
    first = trainer.run(trainer.job(hp_save_steps=3), "out")
    checkpoint = Path(first.output_dir / "checkpoints" / "step-3")
    other = trainer.job("other", rows=example_rows(30), checkpoint=str(checkpoint))
    failed = failure(trainer.run(other, "other"))
    assert (failed.failure, failed.reason) == ("configuration", "CHECKPOINT_MISMATCH")
