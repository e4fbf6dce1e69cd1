"""Whole trainings in processes of their own: what they tell, leave behind, and go on from."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.text.template import parse_template
from services.training_service.trainer import control, evaluate, events, job
from services.training_service.trainer.data import prepare
from services.training_service.trainer.ranks import Ranks
from tests.integration.trainer.conftest import Finished, Trainer, example_rows

pytestmark = pytest.mark.xdist_group("trainer")

# Dropout draws from the random state, several rows are packed, epochs end within the run.
HARD = {
    "hp_lora_dropout": 0.2,
    "hp_max_steps": 24,
    "hp_gradient_accumulation_steps": 2,
    "hp_per_device_train_batch_size": 2,
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, base_model: Path) -> Finished:
    """A LoRA training that is told once to write a checkpoint and writes two more by number of steps."""
    trainer = Trainer(tmp_path_factory.mktemp("straight"), base_model)
    output = trainer.folder / "out"
    output.mkdir()
    control.send(output, "checkpoint")
    return trainer.run(trainer.job(hp_save_steps=10, hp_eval_steps=12, **HARD), "out")


def test_who_started_it_alone_sees_how_it_goes(straight: Finished) -> None:
    shown = straight.stderr.splitlines()
    assert f"  step 24/24 · loss {straight.losses[-1]:,.5g}" in straight.stderr
    assert any("step 12/24 · held-out loss" in line for line in shown)
    assert f"checkpoint: {straight.output_dir / 'checkpoints' / 'step-10'}" in shown
    assert shown[-1] == f"done: {straight.output_dir / 'model'}"


def test_events_tell_the_whole_story(straight: Finished) -> None:
    assert straight.code == 0, straight.stderr
    assert [line.seq for line in straight.lines] == list(range(1, len(straight.lines) + 1))
    phases = [event.phase for event in straight.of(events.Progress)]
    order = list(dict.fromkeys(phases))
    assert order == ["loading_model", "preparing_data", "evaluating", "training", "saving"]
    assert straight.lines[0].event == events.Progress(phase="loading_model", fraction=0.0, note="starting")
    assert [c.step for c in straight.of(events.Checkpoint)] == [1, 10, 20]
    steps = [m.step for m in straight.of(events.Metric) if "loss" in m.values]
    assert steps == list(range(1, 25))
    assert [m.step for m in straight.of(events.Metric) if "eval_loss" in m.values] == [0, 12, 24]
    assert sorted({sample.step for sample in straight.of(events.Sample)}) == [0, 12, 24]
    result = straight.result
    assert (result.outcome, result.step, result.total_steps) == ("succeeded", 24, 24)
    assert result.metrics["eval_loss"] < result.metrics["base_eval_loss"]


def test_exactly_the_tokens_of_the_rows_are_trained(straight: Finished, base_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    rows = [row["text"] for row in example_rows(40)]
    answers = [text.partition("\n回答: ")[2] for text in rows]
    whole = [len(tokenizer(text)["input_ids"]) + 1 for text in rows]  # with the stop token
    learnt = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in answers]
    metrics = straight.of(events.Metric)
    held_out = 4
    # 24 steps of 4 rows are two epochs of 36 rows and 24 rows more.
    last = {m.step: m.values for m in metrics if "loss" in m.values}
    assert min(learnt) * 96 <= last[24]["trained_tokens"] <= max(learnt) * 96
    epoch = last[9]["tokens"]
    assert sum(sorted(whole)[: 40 - held_out]) <= epoch <= sum(sorted(whole)[held_out:])
    assert last[18]["tokens"] == 2 * epoch
    assert last[18]["trained_tokens"] == 2 * last[9]["trained_tokens"]


def test_the_result_stands_alone(straight: Finished, base_model: Path) -> None:
    folder = straight.output_dir / "model"
    facts = json.loads((folder / "aift.json").read_text(encoding="utf-8"))
    assert (facts["kind"], facts["base_model"], facts["steps"]) == ("adapter", "baseModels/tiny", 24)
    template = parse_template((folder / "template.json").read_text(encoding="utf-8"))
    assert (template.prompt_marker, template.completion_marker, template.stop) == ("質問: ", "\n回答: ", ("</s>",))
    assert (folder / "tokenizer.json").read_bytes() == (base_model / "tokenizer.json").read_bytes()
    for path in folder.iterdir():
        assert str(base_model).encode() not in path.read_bytes(), f"{path.name} names a directory of this machine"


def test_the_adapter_gives_the_measured_loss(straight: Finished, base_model: Path) -> None:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_model), straight.output_dir / "model")
    found, expected = measured(model, straight), straight.result.metrics
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"], rel=1e-5)
    assert found["eval_bits_per_character"] == pytest.approx(expected["eval_bits_per_character"], rel=1e-5)


def test_tensorboard_files_are_always_written(straight: Finished) -> None:
    board = EventAccumulator(str(straight.output_dir / "tensorboard")).Reload()
    assert [scalar.step for scalar in board.Scalars("train/loss")] == list(range(1, 25))
    assert [scalar.step for scalar in board.Scalars("eval/loss")] == [0, 12, 24]


def test_the_last_two_checkpoints_are_kept(straight: Finished) -> None:
    assert sorted(path.name for path in (straight.output_dir / "checkpoints").iterdir()) == ["step-10", "step-20"]


def test_a_resumed_training_is_bit_equal(straight: Finished, trainer: Trainer) -> None:
    checkpoint = straight.output_dir / "checkpoints" / "step-10"
    resumed = trainer.run(trainer.job(hp_save_steps=10, hp_eval_steps=12, checkpoint=str(checkpoint), **HARD), "out")
    assert resumed.code == 0, resumed.stderr
    assert resumed.losses == straight.losses[10:]
    ours, theirs = (load_file(run.output_dir / "model" / "adapter_model.safetensors") for run in (resumed, straight))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert resumed.result.metrics == straight.result.metrics


def test_pause_then_resume_in_the_same_directory(straight: Finished, trainer: Trainer) -> None:
    output = trainer.folder / "out"
    output.mkdir()
    control.send(output, "pause")
    paused = trainer.run(trainer.job(hp_eval_steps=12, **HARD), "out")
    assert (paused.code, paused.result.outcome, paused.result.step) == (0, "paused", 1)
    assert not (output / "model").exists()
    control.clear(output)
    whole = trainer.run(trainer.job(hp_eval_steps=12, checkpoint=str(output / "checkpoints" / "step-1"), **HARD), "out")
    assert whole.losses == straight.losses
    assert [line.seq for line in whole.lines] == list(range(1, len(whole.lines) + 1))


def test_stop_leaves_nothing(trainer: Trainer) -> None:
    output = trainer.folder / "out"
    output.mkdir()
    control.send(output, "stop")
    stopped = trainer.run(trainer.job(), "out")
    assert (stopped.code, stopped.result.outcome, stopped.result.step) == (0, "stopped", 0)
    assert not (output / "model").exists()
    assert not (output / "checkpoints").exists()


def test_sigterm_writes_a_checkpoint_and_ends(trainer: Trainer) -> None:
    process = trainer.start(trainer.job(hp_max_steps=100_000), "out")
    path = trainer.folder / "out" / "events.jsonl"
    deadline = time.monotonic() + 200
    while not any(isinstance(line.event, events.Metric) and line.event.step > 0 for line in events.read(path)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    ended = trainer.wait(process, "out")
    assert (ended.code, ended.result.outcome) == (0, "interrupted")
    assert (ended.output_dir / "checkpoints" / f"step-{ended.result.step}" / "states.pt").exists()


@pytest.mark.parametrize("method", ["full", "qlora"])
def test_other_methods_learn(method: str, trainer: Trainer) -> None:
    learning = trainer.job(hp_method=method, hp_max_steps=30, hp_learning_rate=5e-3, hp_gradient_checkpointing=True)
    run = trainer.run(learning, "out")
    assert run.code == 0, run.stderr
    assert run.result.metrics["eval_loss"] < run.result.metrics["base_eval_loss"] - 0.5
    kept = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert (run.output_dir / "model" / kept).exists()
    if method == "full":
        trained = AutoModelForCausalLM.from_pretrained(run.output_dir / "model")
        assert measured(trained, run)["eval_loss"] == pytest.approx(run.result.metrics["eval_loss"], rel=1e-5)


def measured(model: Any, run: Finished) -> dict[str, float]:
    """What the held-out rows of a run give on a model, one by one and padded."""
    description = job.load(run.output_dir.parent / "job.json")
    data = prepare(description, AutoTokenizer.from_pretrained(run.output_dir / "model"), 256, lambda share: None)
    return evaluate.measure(
        model,
        data.held_out,
        description.hyperparameters,
        tokens=1,
        packing=False,
        ranks=Ranks(),
        told=lambda share: None,
    )


def test_chat_rows_train_with_the_models_own_template(trainer: Trainer) -> None:
    rows = [{"instruction": f"{n}の次は？", "response": f"{n + 1}です。"} for n in range(20)]
    run = trainer.run(trainer.job(rows=rows, hp_packing=False), "out")
    assert run.result.outcome == "succeeded"
    template = parse_template((run.output_dir / "model" / "template.json").read_text(encoding="utf-8"))
    assert (template.kind, template.form.value) == ("chat", "instruction")
    assert "generation" in template.chat_template
