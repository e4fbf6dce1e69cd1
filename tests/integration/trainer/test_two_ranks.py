"""Two ranks over gloo train what one trains, and go on bit-equal."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from services.training_service.trainer import control, events
from tests.integration.trainer.conftest import Trainer

pytestmark = pytest.mark.xdist_group("trainer")

HARD = {"hp_lora_dropout": 0.2, "hp_max_steps": 12, "hp_save_steps": 6, "hp_per_device_train_batch_size": 2}


def test_two_ranks_resume_bit_equal(trainer: Trainer) -> None:
    first, second = trainer.run_two(trainer.job(**HARD), "straight")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert len(first.losses) == 12
    checkpoint = str(first.output_dir / "checkpoints" / "step-6")
    resumed, _ = trainer.run_two(trainer.job(checkpoint=checkpoint, **HARD), "resumed")
    assert resumed.losses == first.losses[6:]
    ours, theirs = (load_file(run.output_dir / "model" / "adapter_model.safetensors") for run in (resumed, first))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_one_rank_and_two_train_the_same(trainer: Trainer) -> None:
    two, _ = trainer.run_two(trainer.job(hp_per_device_train_batch_size=2, hp_max_steps=8), "two")
    one = trainer.run(trainer.job(hp_per_device_train_batch_size=4, hp_max_steps=8), "one")
    assert two.losses == pytest.approx(one.losses, rel=1e-4)
    for name in ("eval_loss", "base_eval_loss", "eval_bits_per_character", "tokens", "trained_tokens"):
        assert two.result.metrics[name] == pytest.approx(one.result.metrics[name], rel=1e-4)


def test_both_ranks_stop_at_the_same_step(trainer: Trainer) -> None:
    output = trainer.folder / "out"
    output.mkdir()
    control.send(output, "pause")
    first, second = trainer.run_two(trainer.job(hp_max_steps=1000), "out")
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert (first.result.outcome, first.result.step) == ("paused", 1)
    assert sorted(path.name for path in (output / "checkpoints" / "step-1").glob("random-*")) == [
        "random-0.pt",
        "random-1.pt",
    ]
    others = [line.event for line in events.read(output / "events.rank-1.jsonl")]
    assert all(isinstance(event, events.Log) for event in others)
