"""Optimizers beside AdamW learn, and go on from a checkpoint bit-equal."""

from __future__ import annotations

import importlib.util

import pytest

from services.training_service.trainer.failures import ConfigurationError
from services.training_service.trainer.hyperparameters import Hyperparameters
from services.training_service.trainer.imports import check_bitsandbytes
from tests.integration.trainer.conftest import Trainer
from tests.integration.trainer.preloaded import run_ranks

pytestmark = pytest.mark.xdist_group("trainer")


@pytest.mark.parametrize("optim", ["adamw_bnb_8bit", "adafactor", "sgd"])
def test_it_learns_and_goes_on(optim: str, trainer: Trainer) -> None:
    rate = 0.3 if optim == "sgd" else 5e-3
    fields = {"hp_optim": optim, "hp_learning_rate": rate, "hp_eval_split": 0.0, "hp_max_steps": 8, "hp_save_steps": 4}
    (straight,) = run_ranks(trainer, trainer.job("straight", **fields), "straight", ranks=1)
    assert straight.code == 0, straight.stderr[-3000:]
    assert min(straight.losses[-2:]) < straight.losses[0]
    checkpoint = str(straight.output_dir / "checkpoints" / "step-4")
    (resumed,) = run_ranks(trainer, trainer.job("resumed", checkpoint=checkpoint, **fields), "resumed", ranks=1)
    assert resumed.losses == straight.losses[4:], resumed.stderr[-3000:]


def test_what_does_not_go_together_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = Hyperparameters(optim="adafactor", deepspeed_stage=2).problems()
    assert (problem.reason, problem.field) == ("NOT_WITH_DEEPSPEED", "hyperparameters.optim")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_bitsandbytes(Hyperparameters())
    with pytest.raises(ConfigurationError) as caught:
        check_bitsandbytes(Hyperparameters(optim="paged_adamw_8bit"))
    assert caught.value.problems[0].field == "hyperparameters.optim"
