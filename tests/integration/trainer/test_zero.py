"""Two ranks that share optimizer, gradients and weights out train what two plain ranks train, and go on bit-equal."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from services.training_service.trainer import events, zero
from services.training_service.trainer.failures import ConfigurationError
from services.training_service.trainer.hyperparameters import Hyperparameters
from tests.integration.trainer.conftest import Finished, Trainer
from tests.integration.trainer.preloaded import run_ranks
from tests.integration.trainer.test_objectives import labeled_rows, preference_rows

pytestmark = pytest.mark.xdist_group("trainer")

SMALL: dict[str, Any] = {
    "hp_max_steps": 4,
    "hp_per_device_train_batch_size": 2,
    "hp_gradient_accumulation_steps": 2,
    "hp_save_steps": 2,
}
LARGE: dict[str, Any] = {"hp_deepspeed_stage": 2, "hp_offload_optimizer": "cpu"}
ULTRA_LARGE: dict[str, Any] = {"hp_deepspeed_stage": 3, "hp_offload_optimizer": "cpu", "hp_offload_param": "cpu"}


def both(trainer: Trainer, output: str, **fields: Any) -> Finished:
    """Rank 0 of two that succeeded."""
    first, second = run_ranks(trainer, trainer.job(output, **{**SMALL, **fields}), output)
    assert (first.code, second.code) == (0, 0), first.stderr[-3000:] + second.stderr[-3000:]
    return first


@pytest.fixture(scope="module")
def module_trainer(tmp_path_factory: pytest.TempPathFactory, base_model: Path) -> Trainer:
    return Trainer(tmp_path_factory.mktemp("zero"), base_model)


@pytest.fixture(scope="module")
def plain(module_trainer: Trainer) -> Finished:
    """Two ranks without DeepSpeed, LoRA."""
    return both(module_trainer, "plain")


@pytest.fixture(scope="module")
def shared(module_trainer: Trainer) -> Finished:
    """The large preset, LoRA."""
    return both(module_trainer, "shared", **LARGE)


@pytest.fixture(scope="module")
def plain_in_4_bits(module_trainer: Trainer) -> Finished:
    """Two ranks without DeepSpeed, QLoRA."""
    return both(module_trainer, "plain4", hp_method="qlora", hp_max_steps=2)


def assert_alike(run: Finished, plain: Finished) -> None:
    """The same training within rounding: losses, held-out losses, samples, adapters."""
    assert run.losses == pytest.approx(plain.losses, rel=1e-5)
    for name in ("eval_loss", "base_eval_loss"):
        assert run.result.metrics[name] == pytest.approx(plain.result.metrics[name], rel=1e-5)
    ours, theirs = (load_file(r.output_dir / "model" / "adapter_model.safetensors") for r in (run, plain))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)
    assert run.of(events.Sample) == plain.of(events.Sample)


def test_the_large_preset(shared: Finished, plain: Finished, trainer: Trainer) -> None:
    assert_alike(shared, plain)
    assert_goes_on(shared, trainer, **LARGE)


def test_the_ultra_large_preset(plain: Finished, trainer: Trainer) -> None:
    run = both(trainer, "shared", **ULTRA_LARGE)
    assert_alike(run, plain)
    assert_goes_on(run, trainer, **ULTRA_LARGE)


@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto"])
def test_answers_are_compared_by_shared_weights(objective: str, trainer: Trainer) -> None:
    rows = labeled_rows(40) if objective == "kto" else preference_rows(40)
    compared = {"rows": rows, "hp_objective": objective}
    run = both(trainer, "shared", **compared, **ULTRA_LARGE)
    assert_alike(run, both(trainer, "plain", **compared))
    assert_goes_on(run, trainer, **compared, **ULTRA_LARGE)


def assert_goes_on(run: Finished, trainer: Trainer, **fields: Any) -> None:
    """Resumed from its checkpoint it is bit-equal."""
    checkpoint = str(run.output_dir / "checkpoints" / "step-2")
    resumed = both(trainer, "resumed", checkpoint=checkpoint, **fields)
    assert resumed.losses == run.losses[2:]
    ours, theirs = (load_file(r.output_dir / "model" / "adapter_model.safetensors") for r in (resumed, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_that_was_shared_out_otherwise_is_refused(shared: Finished, trainer: Trainer) -> None:
    checkpoint = str(shared.output_dir / "checkpoints" / "step-2")
    failed, _ = run_ranks(trainer, trainer.job("other", checkpoint=checkpoint, **SMALL), "other")
    last = failed.lines[-1].event
    assert isinstance(last, events.Failed)
    assert (last.failure, last.reason) == ("configuration", "CHECKPOINT_MISMATCH")
    assert "deepspeed_stage" in last.en


@pytest.mark.parametrize("sharing", [LARGE, ULTRA_LARGE], ids=["large", "ultra-large"])
def test_4_bits_are_shared_out_too(sharing: dict[str, Any], plain_in_4_bits: Finished, trainer: Trainer) -> None:
    assert_alike(both(trainer, "shared", hp_method="qlora", hp_max_steps=2, **sharing), plain_in_4_bits)


def test_all_weights_shared_out_come_back_whole(trainer: Trainer) -> None:
    best = {"hp_eval_steps": 1, "hp_load_best_model_at_end": True, "hp_max_steps": 2}
    run = both(trainer, "shared", hp_method="full", **ULTRA_LARGE, **best)
    plain = both(trainer, "plain", hp_method="full", **best)
    assert run.losses == pytest.approx(plain.losses, rel=1e-4)
    ours, theirs = (AutoModelForCausalLM.from_pretrained(r.output_dir / "model").state_dict() for r in (run, plain))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-3) for name in ours)


def test_one_rank_alone_offloads_too(plain: Finished, trainer: Trainer) -> None:
    batches = {"hp_per_device_train_batch_size": 4}
    (run,) = run_ranks(trainer, trainer.job("alone", **{**SMALL, **batches}, **ULTRA_LARGE), "alone", ranks=1)
    assert run.code == 0, run.stderr[-3000:]
    assert run.losses == pytest.approx(plain.losses, rel=1e-4)


def test_without_deepspeed_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    zero.check(Hyperparameters())
    with pytest.raises(ConfigurationError) as caught:
        zero.check(Hyperparameters(deepspeed_stage=2))
    problem = caught.value.problems[0]
    assert (problem.reason, problem.field) == ("DEEPSPEED_MISSING", "hyperparameters.deepspeed_stage")
    assert "pip install" in problem.en
