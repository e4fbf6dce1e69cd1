"""Two nodes that share no directory train bit for bit what two ranks of one node train, and go on from a checkpoint."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from services.training_service.trainer import control, events
from tests.integration.trainer.conftest import Finished, Trainer
from tests.integration.trainer.preloaded import run_nodes, run_ranks

pytestmark = pytest.mark.xdist_group("trainer")

SMALL: dict[str, Any] = {
    "hp_max_steps": 4,
    "hp_per_device_train_batch_size": 2,
    "hp_save_steps": 2,
    "sample_prompts": ["東京の本社はどこですか？"],
}
# The best weights are those of an early step: every node must have them at the end.
BEST: dict[str, Any] = {
    "hp_method": "full",
    "hp_eval_steps": 1,
    "hp_load_best_model_at_end": True,
    "hp_learning_rate": 0.1,
    "hp_lr_scheduler_type": "constant",
}
GRADIENTS: dict[str, Any] = {"hp_lora_dropout": 0.2, "hp_deepspeed_stage": 2, "hp_offload_optimizer": "cpu"}
WEIGHTS: dict[str, Any] = {"hp_deepspeed_stage": 3}


def ended(runs: list[Finished]) -> Finished:
    """Rank 0 of two that succeeded."""
    assert [run.code for run in runs] == [0, 0], [run.stderr[-3000:] for run in runs]
    return runs[0]


def assert_equal(run: Finished, other: Finished) -> None:
    """The same result, bit for bit."""
    assert run.of(events.Sample) == other.of(events.Sample)[-len(run.of(events.Sample)) :]
    assert run.result.metrics == other.result.metrics
    ours, theirs = (load_file(next((one.output_dir / "model").glob("*.safetensors"))) for one in (run, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("how", [BEST, GRADIENTS, WEIGHTS], ids=["best-weights", "stage-2", "stage-3"])
def test_two_nodes_train_what_one_node_trains(how: dict[str, Any], trainer: Trainer) -> None:
    one = ended(run_ranks(trainer, trainer.job(**SMALL, **how), "one"))
    nodes = run_nodes(trainer, trainer.job(**SMALL, **how), "nodes")
    first = ended(nodes)
    assert first.losses == one.losses
    assert_equal(first, one)
    assert [path.name for path in nodes[1].output_dir.glob("checkpoints/*")] == []
    assert {path.name for path in nodes[1].output_dir.iterdir()} <= {"events.rank-1.jsonl", "checkpoints", "best"}

    checkpoint = first.output_dir / "checkpoints" / "step-2"
    files = {path.name for path in checkpoint.iterdir()}
    assert files == {path.name for path in (one.output_dir / "checkpoints" / "step-2").iterdir()}
    assert "random-1.pt" in files
    resumed = ended(run_nodes(trainer, trainer.job(checkpoint=str(checkpoint), **SMALL, **how), "resumed"))
    assert resumed.losses == first.losses[2:]
    assert_equal(resumed, first)
    if how is BEST:
        said = [line for log in resumed.of(events.Log) for line in log.lines]
        assert any("are the result" in line for line in said), said


def test_both_nodes_pause_at_the_same_step(trainer: Trainer) -> None:
    output = trainer.folder / "nodes-0"
    output.mkdir()
    control.send(output, "pause")
    first = ended(run_nodes(trainer, trainer.job(**{**SMALL, "hp_max_steps": 1000}), "nodes"))
    assert (first.result.outcome, first.result.step) == ("paused", 1)
    saved = {path.name for path in (output / "checkpoints" / "step-1").iterdir()}
    assert {"random-0.pt", "random-1.pt"} <= saved
